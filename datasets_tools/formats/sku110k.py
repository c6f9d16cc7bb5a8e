"""SKU110K-R: COCO JSON of one class whose objects have `rbbox`, five numbers as in coco.py."""

from dataloadR.formats.coco import read_coco as read_sku110k

__all__ = ["read_sku110k"]
