"""Archives from elsewhere: downloaded, checked by their checksum, unpacked where they belong."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from featurize.errors import ModelError
from kaldi_recipes.librispeech_tdnn.unpack import unpack

RECIPE = Path(__file__).parents[2] / "kaldi_recipes/librispeech_tdnn"
NAME = "0013_librispeech_v1_chain.tar.gz"


def archive(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.fixture
def site(tmp_path) -> Path:
    """The folder of a site that publishes the archive."""
    archive(tmp_path / "site" / NAME, {"exp/tdnn/final.mdl": b"model"})
    (tmp_path / "archives").mkdir()
    return tmp_path / "site"


def fetch(site: Path, published: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = ["bash", RECIPE / "local/fetch.sh", f"file://{site}/{NAME}", "archives"]
    command.append(published or RECIPE / "conf/sha256sums")
    return subprocess.run(command, cwd=site.parent, capture_output=True, text=True, check=False)


def test_the_first_checksum_is_kept_and_holds(site, tmp_path):
    first = fetch(site)
    content = (site / NAME).read_bytes()
    assert first.returncode == 0 and "trusted as the first one seen" in first.stderr
    assert (tmp_path / "archives" / NAME).read_bytes() == content
    recorded = (tmp_path / "archives/sha256sums").read_text()
    assert recorded == f"{hashlib.sha256(content).hexdigest()}  {NAME}\n"
    again = fetch(site)
    assert again.returncode == 0 and "trusted" not in again.stderr
    (tmp_path / "archives" / NAME).unlink()
    archive(site / NAME, {"exp/tdnn/final.mdl": b"another model"})
    other = fetch(site)
    assert other.returncode == 1 and "has the checksum" in other.stderr
    assert not (tmp_path / "archives" / NAME).exists()
    assert (tmp_path / "archives/sha256sums").read_text() == recorded


def test_a_published_checksum_goes_before(site, tmp_path):
    published = tmp_path / "sha256sums"
    published.write_text(f"# of the publisher\n{'0' * 64}  {NAME}\n")
    assert fetch(site, published).returncode == 1
    (tmp_path / "archives" / f"{NAME}.part").unlink()
    good = hashlib.sha256((site / NAME).read_bytes()).hexdigest()
    published.write_text(f"{good}  {NAME}\n")
    done = fetch(site, published)
    assert done.returncode == 0 and "trusted" not in done.stderr


def test_a_download_that_was_cut_off_goes_on(site, tmp_path):
    content = (site / NAME).read_bytes()
    (tmp_path / "archives" / f"{NAME}.part").write_bytes(content[:50])
    assert fetch(site).returncode == 0
    assert (tmp_path / "archives" / NAME).read_bytes() == content
    (site / NAME).unlink()
    (tmp_path / "archives" / NAME).unlink()
    gone = fetch(site)
    assert gone.returncode == 1 and "cannot be downloaded" in gone.stderr


def test_a_page_in_place_of_the_archive_is_not_trusted(site, tmp_path):
    content = (site / NAME).read_bytes()
    for wrong in (b"<html>Please log in</html>", content[:-9]):
        (site / NAME).write_bytes(wrong)
        done = fetch(site)
        assert done.returncode == 1 and "no whole .tar.gz" in done.stderr
        assert (tmp_path / "archives/sha256sums").read_text() == ""
        (tmp_path / "archives" / f"{NAME}.part").unlink()
    # Whole, but not renamed: the download had ended when the recipe was killed.
    (tmp_path / "archives" / f"{NAME}.part").write_bytes(content)
    (site / NAME).unlink()
    assert fetch(site).returncode == 0


def test_the_recipe_holds_no_checksum_of_its_own():
    """None is known: a line here has to come from who published the archives."""
    lines = (RECIPE / "conf/sha256sums").read_text().splitlines()
    assert all(line.startswith("#") for line in lines)


def test_unpacking_takes_exp_and_data_alone(tmp_path):
    members = {
        "exp/tdnn/5.mdl": b"model", "./data/lang/words.txt": b"words", "README": b"no",
        "exp/tdnn/final.mdl": link("exp/tdnn/final.mdl", "5.mdl"), "local/run.sh": b"no",
    }  # fmt: skip
    out = tmp_path / "out"
    for _ in range(2):  # again changes nothing
        assert unpack(archive(tmp_path / "a.tar.gz", members), out) == 3
        assert (out / "exp/tdnn/final.mdl").read_bytes() == b"model"
        assert {p.name for p in out.iterdir()} == {"exp", "data"}


@pytest.mark.parametrize(
    "members",
    [
        {"exp/../../climbed": b"x"},
        {"exp/out": link("exp/out", "../../outside"), "exp/out/climbed": b"x"},
        {"exp/out": link("exp/out", "/etc")},
        {"data/hard": link("data/hard", "../outside", tarfile.LNKTYPE)},
        {"data/pipe": link("data/pipe", "", tarfile.FIFOTYPE)},
        {"README": b"nothing of use"},
    ],
)
def test_what_reaches_out_of_the_folder_is_refused(tmp_path, members):
    (tmp_path / "outside").mkdir()
    with pytest.raises(ModelError):
        unpack(archive(tmp_path / "a.tar.gz", members), tmp_path / "deep/out")
    assert not [p for p in tmp_path.rglob("*climbed*")]


def test_a_damaged_archive_is_told(tmp_path):
    path = archive(tmp_path / "a.tar.gz", {"exp/final.mdl": bytes(100_000)})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
