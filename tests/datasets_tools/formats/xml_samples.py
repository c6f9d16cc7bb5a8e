"""One small file per XML format, written by hand from the format's documentation.

All show ROTATED as a `ship`: 40 x 20 px about (50, 60), whose width points along (4, 3) on the screen; and
another object.  The corners of ROTATED follow from half the width, (16, 12), and half the height, (-6, 8).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from datasets_tools.formats.cvat import read_cvat
from datasets_tools.formats.dior_r import read_dior_r
from datasets_tools.formats.fair1m import read_fair1m
from datasets_tools.formats.hrsc2016 import read_hrsc2016
from datasets_tools.formats.rolabelimg import read_rolabelimg
from datasets_tools.formats.ssdd import read_ssdd
from utils.errors import Faults

Reader = Callable[[Path, Faults, Notes], Iterator[LabelledImage]]
ROTATED = np.array([[40, 40], [72, 64], [60, 80], [28, 56]], np.float64)
RADIANS, DEGREES = 0.6435011087932844, 36.86989764584402  # atan2(3, 4)

ROLABELIMG = f"""<annotation verified="yes">
  <folder>ships</folder>
  <filename>P1</filename>
  <path>C:\\ships\\P1.png</path>
  <source><database>Unknown</database></source>
  <size><width>640</width><height>512</height><depth>3</depth></size>
  <segmented>0</segmented>
  <object>
    <type>robndbox</type>
    <name>ship</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>0</difficult>
    <robndbox><cx>50.0</cx><cy>60.0</cy><w>40.0</w><h>20.0</h><angle>{RADIANS}</angle></robndbox>
  </object>
  <object>
    <type>bndbox</type>
    <name>storage tank</name>
    <pose>Unspecified</pose>
    <truncated>1</truncated>
    <difficult>1</difficult>
    <bndbox><xmin>30</xmin><ymin>50</ymin><xmax>70</xmax><ymax>75</ymax></bndbox>
  </object>
</annotation>
"""
DIOR_R = """<annotation>
  <filename>P1.jpg</filename>
  <source><database>DIOR</database></source>
  <size><width>800</width><height>800</height><depth>3</depth></size>
  <segmented>0</segmented>
  <object>
    <type>robndbox</type>
    <name>ship</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>0</difficult>
    <angle>37</angle>
    <robndbox>
      <x_left_top>40</x_left_top><y_left_top>40</y_left_top>
      <x_right_top>72</x_right_top><y_right_top>64</y_right_top>
      <x_right_bottom>60</x_right_bottom><y_right_bottom>80</y_right_bottom>
      <x_left_bottom>28</x_left_bottom><y_left_bottom>56</y_left_bottom>
    </robndbox>
  </object>
  <object>
    <type>robndbox</type>
    <name>Expressway-toll-station</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>1</difficult>
    <angle>0</angle>
    <robndbox>
      <x_left_top>100</x_left_top><y_left_top>100</y_left_top>
      <x_right_top>150</x_right_top><y_right_top>101</y_right_top>
      <x_right_bottom>149</x_right_bottom><y_right_bottom>131</y_right_bottom>
      <x_left_bottom>99</x_left_bottom><y_left_bottom>130</y_left_bottom>
    </robndbox>
  </object>
</annotation>
"""
SSDD = f"""<annotation>
  <folder>JPEGImages</folder>
  <filename>P1.jpg</filename>
  <size><width>500</width><height>350</height><depth>3</depth></size>
  <object>
    <name>ship</name>
    <difficult>0</difficult>
    <bndbox><xmin>28</xmin><ymin>40</ymin><xmax>72</xmax><ymax>80</ymax></bndbox>
    <rotated_bndbox>
      <rotated_bbox_cx>50</rotated_bbox_cx><rotated_bbox_cy>60</rotated_bbox_cy>
      <rotated_bbox_w>20</rotated_bbox_w><rotated_bbox_h>40</rotated_bbox_h>
      <rotated_bbox_theta>{DEGREES - 90}</rotated_bbox_theta>
      <x1>40</x1><y1>40</y1><x2>72</x2><y2>64</y2><x3>60</x3><y3>80</y3><x4>28</x4><y4>56</y4>
    </rotated_bndbox>
  </object>
  <object>
    <name>ship</name>
    <difficult>1</difficult>
    <rotated_bndbox>
      <rotated_bbox_cx>50</rotated_bbox_cx><rotated_bbox_cy>60</rotated_bbox_cy>
      <rotated_bbox_w>40</rotated_bbox_w><rotated_bbox_h>20</rotated_bbox_h>
      <rotated_bbox_theta>{DEGREES}</rotated_bbox_theta>
    </rotated_bndbox>
  </object>
</annotation>
"""
HRSC2016 = f"""<HRSC_Image>
  <Img_CusType>sealand</Img_CusType>
  <Img_Location>69.040297,33.070036</Img_Location>
  <Img_SizeWidth>1138</Img_SizeWidth>
  <Img_SizeHeight>833</Img_SizeHeight>
  <Img_SizeDepth>3</Img_SizeDepth>
  <Img_FileName>P1</Img_FileName>
  <Img_FileFmt>bmp</Img_FileFmt>
  <segmented>0</segmented>
  <HRSC_Objects>
    <HRSC_Object>
      <Object_ID>100000008</Object_ID>
      <Class_ID>100000001</Class_ID>
      <truncated>0</truncated>
      <difficult>0</difficult>
      <box_xmin>28</box_xmin><box_ymin>40</box_ymin><box_xmax>72</box_xmax><box_ymax>80</box_ymax>
      <mbox_cx>50</mbox_cx><mbox_cy>60</mbox_cy><mbox_w>40</mbox_w><mbox_h>20</mbox_h>
      <mbox_ang>{RADIANS}</mbox_ang>
      <header_x>66</header_x><header_y>72</header_y>
    </HRSC_Object>
    <HRSC_Object>
      <Object_ID>100000009</Object_ID>
      <Class_ID>100000013</Class_ID>
      <truncated>1</truncated>
      <difficult>1</difficult>
      <mbox_cx>50</mbox_cx><mbox_cy>60</mbox_cy><mbox_w>20</mbox_w><mbox_h>40</mbox_h>
      <mbox_ang>{RADIANS - np.pi / 2}</mbox_ang>
    </HRSC_Object>
  </HRSC_Objects>
</HRSC_Image>
"""
FAIR1M = """<annotation>
  <source><filename>P1.tif</filename><origin>GF2/GF3</origin></source>
  <research><version>1.0</version><provider>FAIR1M</provider></research>
  <size><width>1000</width><height>900</height><depth>3</depth></size>
  <objects>
    <object>
      <coordinate>pixel</coordinate>
      <type>rectangle</type>
      <description>None</description>
      <possibleresult><name>ship</name></possibleresult>
      <points>
        <point>40.000000,40.000000</point>
        <point>72.000000,64.000000</point>
        <point>60.000000,80.000000</point>
        <point>28.000000,56.000000</point>
        <point>40.000000,40.000000</point>
      </points>
    </object>
    <object>
      <coordinate>pixel</coordinate>
      <type>rectangle</type>
      <description>None</description>
      <possibleresult><name>Small Car</name></possibleresult>
      <points>
        <point>1.5, 2.5</point><point>9, 2.5</point><point>9, 6</point><point>1.5, 7</point>
      </points>
    </object>
  </objects>
</annotation>
"""
CVAT = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <project>
      <id>3</id>
      <tasks>
        <task><id>7</id><name>first</name><subset>Train</subset></task>
        <task><id>8</id><name>second</name><subset></subset></task>
      </tasks>
      <labels><label><name>ship</name><attributes></attributes></label></labels>
    </project>
    <dumped>2024-02-01 10:00:00+00:00</dumped>
  </meta>
  <image id="0" name="first/P1.png" subset="Validation" task_id="7" width="640" height="512">
    <box label="ship" source="manual" occluded="0" xtl="30" ytl="50" xbr="70" ybr="70"
         rotation="{DEGREES}" z_order="0">
    </box>
    <polygon label="storage tank" source="manual" occluded="1" points="1.5,2.50;9.00,2.50;9.00,6.00;1.50,7.00"
             z_order="0">
      <attribute name="difficult">1</attribute>
    </polygon>
  </image>
  <image id="1" name="P2.png" task_id="7" width="640" height="512">
  </image>
  <image id="2" name="P3.png" task_id="8" width="640" height="512">
    <box label="ship" occluded="0" xtl="30" ytl="50" xbr="70" ybr="70"></box>
    <tag label="sea" source="manual"></tag>
  </image>
</annotations>
"""
SAMPLES: dict[str, tuple[Reader, str]] = {
    "rolabelimg": (read_rolabelimg, ROLABELIMG),
    "dior-r": (read_dior_r, DIOR_R),
    "ssdd": (read_ssdd, SSDD),
    "hrsc2016": (read_hrsc2016, HRSC2016),
    "fair1m": (read_fair1m, FAIR1M),
    "cvat": (read_cvat, CVAT),
}


def read_text(
    tmp_path: Path, reader: Reader, text: str | bytes, notes: Notes | None = None, skip: bool = False
) -> list[LabelledImage]:
    """Read a file P1.xml of these contents; what is wrong stops it."""
    path = tmp_path / "P1.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(reader(path, Faults(skip), notes if notes is not None else Notes()))
