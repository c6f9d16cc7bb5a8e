"""What a raster may have opened: nothing in the network, and no files but those that it is allowed."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.utils.test_rasters import need_rasterio, write_tiff
from utils.georeference import read_geo
from utils.images import ImageError
from utils.raster_files import Access
from utils.rasters import open_raster, raster_info
from utils.scene_rasters import Reading, open_scene
from utils.tiles import Window

BANDS = np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)
WHOLE = Window(0, 0, 30, 20)
VRT = """<VRTDataset rasterXSize="30" rasterYSize="20">{more}
{bands}
</VRTDataset>"""
BAND = """<VRTRasterBand dataType="Byte" band="{k}"><SimpleSource>
<SourceFilename relativeToVRT="{relative}">{name}</SourceFilename><SourceBand>{k}</SourceBand>
</SimpleSource></VRTRasterBand>"""
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>
<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>0</UpperLeftY><LowerRightX>30</LowerRightX>
<LowerRightY>20</LowerRightY><TileLevel>0</TileLevel><SizeX>30</SizeX><SizeY>20</SizeY></DataWindow>
<Projection>EPSG:4326</Projection><BandsCount>3</BandsCount></GDAL_WMS>"""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server on this machine, and the paths that are asked of it."""
    need_rasterio()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", asked
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def vrt(name: str, relative: int = 0, more: str = "") -> str:
    return VRT.format(
        bands="\n".join(BAND.format(k=k, name=name, relative=relative) for k in (1, 2, 3)), more=more
    )


def try_all(path: Path, access: Access = Access()) -> list[str]:  # noqa: B008
    """Use a file in every way there is and return the errors."""
    errors = []
    for read in (_size, _pixels, _scene):
        try:
            read(path, access)
        except ImageError as error:
            errors.append(str(error))
    assert access.remote or read_geo(path, access) is None
    return errors


def _size(path: Path, access: Access) -> None:
    raster_info(path, access)


def _pixels(path: Path, access: Access) -> None:
    with open_raster(path, access) as raster:
        raster.read(Window(0, 0, 8, 8))


def _scene(path: Path, access: Access) -> None:
    with open_scene(path, Reading((1,), access=access)) as raster:
        raster.read(Window(0, 0, 8, 8))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".jp2", ".vrt", ".img", ".ntf", ".xml", ""])
def test_no_text_reaches_the_network(
    tmp_path: Path, suffix: str, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = server
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # so that nothing but our own check stands in the way
    texts = [
        vrt(f"/vsicurl/{url}/a.tif"),
        vrt(f"{url}/a.tif"),
        vrt(WMS.format(url=url).replace("<", "&lt;")),
        WMS.format(url=url),
        f"/vsicurl/{url}/a.tif",
        "<WMTS>" + url,
        vrt("b.tif", 1, f"<Overview>/vsicurl/{url}/o.tif</Overview>"),
    ]
    write_tiff(tmp_path / "b.tif", BANDS)
    for number, text in enumerate(texts):
        path = tmp_path / f"a{number}{suffix}"
        path.write_text(text)
        assert len(try_all(path)) == 3, text
    assert asked == []


def test_the_check_is_what_keeps_it_away(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    url, asked = server
    path = tmp_path / "a.vrt"
    path.write_text(vrt(f"/vsicurl/{url}/a.tif"))
    try_all(path, Access(remote=True))
    assert asked, "the server would have been asked"


def test_a_source_or_a_mask_that_lies_about_its_format(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    url, asked = server
    write_tiff(tmp_path / "b.tif", BANDS)
    (tmp_path / "c.tif").write_text(WMS.format(url=url))
    (tmp_path / "a.vrt").write_text(vrt("c.tif", 1))
    assert "no image of a kind" in try_all(tmp_path / "a.vrt")[0]
    (tmp_path / "b.tif.msk").write_text(vrt(f"/vsicurl/{url}/a.tif"))
    with pytest.raises(ImageError, match=r"expected a TIFF beside b\.tif"):
        _scene(tmp_path / "b.tif", Access())
    (tmp_path / "a.vrt").write_text(vrt("b.tif", 1))
    assert "expected a TIFF beside b.tif" in try_all(tmp_path / "a.vrt")[0]
    assert asked == []


def test_a_vrt_reads_below_its_folder_and_where_it_may(tmp_path: Path) -> None:
    need_rasterio()
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/tiles").mkdir()
    for place in ("outside.tif", "maps/tiles/in.tif"):
        write_tiff(tmp_path / place, BANDS)
    path = tmp_path / "maps/a.vrt"
    path.write_text(vrt("tiles/in.tif", 1))
    (tmp_path / "maps/b.vrt").write_text(vrt("a.vrt", 1))
    for name in ("a.vrt", "b.vrt"):
        with open_scene(tmp_path / "maps" / name) as raster:
            np.testing.assert_array_equal(raster.read(WHOLE), BANDS.transpose(1, 2, 0))
    (tmp_path / "maps/link.tif").symlink_to(tmp_path / "outside.tif")
    for name in ("../outside.tif", str(tmp_path / "outside.tif"), "link.tif"):
        path.write_text(vrt(name, int(not name.startswith("/"))))
        errors = try_all(path)
        assert len(errors) == 3
        assert f"names {name!r}, which is not below {tmp_path / 'maps'}" in errors[0]
        assert f"predict.vrt_folders={tmp_path}" in errors[0]
        with open_scene(path, Reading(access=Access(folders=(str(tmp_path),)))) as raster:
            np.testing.assert_array_equal(raster.read(WHOLE), BANDS.transpose(1, 2, 0))


def test_names_beside_those_of_sources_and_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_rasterio()
    for place in ("maps/in.tif", "other/in.tif", "secret.tif"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        write_tiff(tmp_path / place, BANDS)
    path, secret = tmp_path / "maps/a.vrt", tmp_path / "secret.tif"
    monkeypatch.chdir(tmp_path / "other")
    path.write_text(vrt("in.tif", 0))  # GDAL takes that of the working folder
    assert (
        f"names 'in.tif', which is not below {tmp_path / 'maps'} but {tmp_path / 'other'}" in try_all(path)[0]
    )
    path.write_text(vrt("in.tif", 1))
    assert try_all(path) == []
    for more in (
        f'<Argument name="gain_dataset_filename_1">{secret}</Argument>',
        f'<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">{secret}</MDI></Metadata>',
        '<Argument name="gain_dataset_filename_1" relativeToVRT="1">../secret.tif</Argument>',
    ):
        path.write_text(vrt("in.tif", 1, more))
        assert f"which is not below {tmp_path / 'maps'} but {secret}" in try_all(path)[0]
    path.write_text(vrt("in.tif", 1, "<A>http://www.example.com/a.tif</A>"))
    assert "which is no local file" in try_all(path)[0]


def test_vrts_that_name_themselves_and_xml_that_explodes(tmp_path: Path) -> None:
    need_rasterio()
    path = tmp_path / "a.vrt"
    path.write_text(vrt("a.vrt", 1))
    assert "more than 8 deep" in try_all(path)[0]
    path.write_text('<!DOCTYPE a [<!ENTITY a "aaaa">]>' + vrt("&a;"))
    assert "without declarations" in try_all(path)[0]
    path.write_text(vrt("x.tif")[:60])
    assert "no valid XML" in try_all(path)[0]


def test_the_contents_of_pictures_decide_not_the_suffix(tmp_path: Path) -> None:
    need_rasterio()
    path = write_tiff(tmp_path / "a.tif", BANDS).rename(tmp_path / "a.jpg")
    assert raster_info(path).size == (20, 30)
    with open_scene(path, Reading((3, 2, 1))) as raster:
        np.testing.assert_array_equal(raster.read(WHOLE), BANDS[::-1].transpose(1, 2, 0))
