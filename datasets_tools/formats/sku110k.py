"""SKU110K-R: COCO JSON of one class whose objects have `rbbox`, five numbers as in coco.py.

The angle is in degrees and turns counter-clockwise on the screen: so does the tool of its authors draw it
(Pan et al., Dynamic Refinement Network for Oriented and Densely Packed Object Detection, CVPR 2020).
"""

from functools import partial

from dataloadR.formats.coco import read_coco

read_sku110k = partial(read_coco, usual="degrees-ccw")
