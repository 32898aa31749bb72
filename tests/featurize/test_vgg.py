"""Against torchvision's own network and transforms, picture by picture."""

import hashlib
import pickle
import re
import urllib.error
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision.models import VGG16_Weights, vgg16
from torchvision.transforms.functional import center_crop, resize

from featurize.errors import MediaError, ModelError, UsageError
from featurize.media import read_frames
from featurize.vgg import Vgg16, VggConfig, identity, prepare


def pictures(n: int, height: int = 120, width: int = 100) -> np.ndarray:
    """Smooth coloured shapes, a different one each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = rng.uniform(0, 12, (n, 3, 3))
    a, b, c = (waves[:, :, i, None, None] for i in range(3))
    levels = 127 + 120 * np.sin(a * x + b * y + c)
    return levels.transpose(0, 2, 3, 1).astype(np.uint8)


@pytest.fixture(scope="module")
def extractor() -> Vgg16:
    with pytest.warns(UserWarning, match="random:7 weights, which know nothing of pictures"):
        return Vgg16(VggConfig(weights="random:7", batch_size=2))


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return vgg16().eval()


@pytest.fixture(scope="module")
def features(extractor) -> np.ndarray:
    """Of three pictures, in a batch of two and one of one."""
    return extractor(pictures(3))


@pytest.fixture(scope="module")
def weights_path(reference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(reference.state_dict(), path)
    yield str(path)
    path.unlink()  # 528 MB


@torch.inference_mode()
def reference_features(model, frames: np.ndarray, n_layers: int) -> np.ndarray:
    """One picture at a time, through torchvision's modules as they come."""
    transform = VGG16_Weights.IMAGENET1K_V1.transforms()
    rows = []
    for frame in frames:
        image = transform(torch.tensor(frame).permute(2, 0, 1))[None]
        row = torch.flatten(model.avgpool(model.features(image)), 1)
        rows.append(model.classifier[:n_layers](row)[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(("height", "width"), [(120, 100), (224, 224), (300, 401)])
def test_equals_torchvision(extractor, reference, height: int, width: int) -> None:
    frames = pictures(2, height, width)
    features = extractor(frames)
    assert features.shape == (2, 4096) and features.dtype == np.float32
    np.testing.assert_allclose(features, reference_features(reference, frames, 5), atol=1e-5)


def test_repeats_exactly_and_batches_agree(extractor, features) -> None:
    np.testing.assert_array_equal(extractor(pictures(3)), features)
    np.testing.assert_allclose(extractor(pictures(3)[1:2]), features[1:2], atol=1e-5)
    assert extractor(pictures(0)).shape == (0, 4096)


def test_random_features_tell_pictures_apart_in_float16(features) -> None:
    halves = features.astype(np.float16).astype(np.float64)
    variation = halves.std(axis=0).mean() / halves.mean()
    assert halves.max() < 100 and variation > 0.05
    assert len(np.unique(halves, axis=0)) == 3


def test_weights_file_gives_the_same_network(
    weights_path: str, extractor, features, device
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = Vgg16(VggConfig(weights=weights_path, batch_size=2), device=device.type)
    assert loaded.resolved == {**extractor.resolved, "weights": "vgg16.pth"}
    if device.type == "cpu":
        np.testing.assert_array_equal(loaded(pictures(3)), features)
    else:
        np.testing.assert_allclose(loaded(pictures(3)), features, atol=1e-5)


def test_fc6_is_the_first_hidden_layer(weights_path: str, reference) -> None:
    frames = pictures(1)
    features = Vgg16(VggConfig(weights=weights_path, layer="fc6"))(frames)
    np.testing.assert_allclose(features, reference_features(reference, frames, 2), atol=1e-5)


# --- preprocessing ---

# Odd, even, portrait, wide, tiny, one pixel, large, and those that need no resizing
SIZES = [
    (224, 224), (256, 256), (255, 257), (301, 401), (401, 301), (90, 1001), (7, 9), (1, 1),
    (1080, 1920), (288, 360),
]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_preprocessing_equals_torchvision_s_bit_for_bit(extractor, height: int, width: int) -> None:
    frames = np.random.default_rng(height).integers(0, 256, (2, height, width, 3), np.uint8)
    expected = VGG16_Weights.IMAGENET1K_V1.transforms()(torch.tensor(frames).permute(0, 3, 1, 2))
    small = prepare(frames)
    assert small.shape == (2, 224, 224, 3) and small.dtype == np.uint8
    assert torch.equal(extractor.normalised(small), expected)
    assert np.array_equal(prepare(frames[1:]), small[1:])  # one by one, as decoders do it


def test_preprocessing_of_pil_images_differs_by_one_level_at_most() -> None:
    """torchvision takes PIL images too, and there lets Pillow resize: nearly the same."""
    for height, width in SIZES:
        frames = pictures(1, height, width)
        image = PIL.Image.fromarray(frames[0])
        theirs = center_crop(resize(image, [256], antialias=True), [224])
        assert np.abs(prepare(frames)[0].astype(int) - np.asarray(theirs)).max() <= 1


@pytest.mark.slow  # six seconds a picture, where bfloat16 is emulated
def test_bfloat16_on_real_faces(weights_path: str, shared_data: Path) -> None:
    """Channels-last bfloat16 against float32 in torch's usual layout: RMS and angle."""
    clips = sorted((shared_data / "video").glob("*.m*"))
    frames = [prepare(read_frames(clip, fps=1)[1][:2]) for clip in clips]
    frames = np.concatenate(frames)
    rough = Vgg16(VggConfig(weights=weights_path, precision="bfloat16"))(frames)
    exact = Vgg16(VggConfig(weights=weights_path))
    exact.network.to(memory_format=torch.contiguous_format)
    exact = exact(frames)
    relative_rms = np.linalg.norm(rough - exact, axis=1) / np.linalg.norm(exact, axis=1)
    norms = np.linalg.norm(rough, axis=1) * np.linalg.norm(exact, axis=1)
    cosine = (rough * exact).sum(axis=1) / norms
    assert len(frames) == 8 and 0 < relative_rms.max() < 0.02 and cosine.min() > 0.9998
    print(f"relative RMS {relative_rms.max():.4f}, cosine {cosine.min():.6f}")


@pytest.mark.slow
def test_bfloat16_is_within_two_per_cent(weights_path: str, extractor, features) -> None:
    rough = Vgg16(VggConfig(weights=weights_path, precision="bfloat16"))
    error = np.linalg.norm(rough(pictures(3)) - features) / np.linalg.norm(features)
    assert 0 < error < 0.02
    assert rough.resolved["precision"] == "bfloat16"
    assert rough.resolved["weights_sha256"] == extractor.resolved["weights_sha256"]


def test_random_weights_follow_the_seed_and_leave_the_callers_state(extractor) -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    other = Vgg16(VggConfig(weights="random:8"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert other.resolved["weights_sha256"] != extractor.resolved["weights_sha256"]


def test_the_digest_of_a_weights_file_is_checked(tmp_path: Path, extractor) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"these bytes")
    digest = hashlib.sha256(b"these bytes").hexdigest()
    for wanted in (digest, digest[:8], digest.upper()):
        assert identity(VggConfig(str(path), wanted))["weights"] == f"sha256:{digest}"
    named = path.rename(tmp_path / f"vgg16-{digest[:8]}.pth")
    assert identity(VggConfig(str(named)))["weights"] == f"sha256:{digest}"
    published = named.rename(tmp_path / "vgg16-397923af.pth")
    for path, wanted, match in [
        (published, None, f"SHA-256 is {digest[:16]}..., but the name says 397923af"),
        (published, "0" * 64, "but the setting says 0000000000000000: another file"),
    ]:
        for use in (identity, Vgg16):
            with pytest.raises(ModelError, match=re.escape(match)):
                use(VggConfig(str(path), wanted))
    for weights, wanted in [("random:0", digest), (str(published), "xyz"), (str(published), "12")]:
        with pytest.raises(UsageError, match="weights_sha256"):
            identity(VggConfig(weights, wanted))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_unfit_weights_files_are_model_errors(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    contents = {
        "small.pth": {"features.0.weight": torch.zeros(2, 2)},
        "list.pth": [1, 2, 3],
        "numbers.pth": {"features.0.weight": 1.0},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"features.0.weight": Evil()}, tmp_path / "evil_archive.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "appends.pth").write_bytes(b"\x80\x02a.")  # to nothing: IndexError
    names = [*contents, "evil.pth", "evil_archive.pth", "text.pth", "empty.pth", "absent.pth"]
    names.append("appends.pth")
    for name in names:
        with pytest.raises(ModelError, match=name) as caught:
            Vgg16(VggConfig(weights=str(tmp_path / name)))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_weights_with_nan_are_refused(monkeypatch, reference) -> None:
    """IMAGENET1K_FEATURES, for one, has no classifier: NaN stands there."""
    state = dict(reference.state_dict())
    state["classifier.0.bias"] = torch.full((4096,), float("nan"))
    monkeypatch.setattr(VGG16_Weights, "get_state_dict", lambda *_args, **_options: state)
    with pytest.raises(ModelError, match="IMAGENET1K_FEATURES: has values that are not finite"):
        Vgg16(VggConfig(weights="IMAGENET1K_FEATURES"))


def test_no_network_is_an_error_that_says_what_to_fetch(monkeypatch) -> None:
    def offline(*_args, **_options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"vgg16-397923af\.pth elsewhere and give the file's path"):
        Vgg16(VggConfig())


def test_bad_settings_and_pictures_are_named() -> None:
    for changes, match in [
        ({"layer": "fc8"}, "choose fc6 or fc7"),
        ({"precision": "float16"}, "choose float32"),
        ({"batch_size": 0}, "choose 1 or more"),
        ({"weights": "random:x"}, "whole number"),
    ]:
        with pytest.raises(UsageError, match=match):
            Vgg16(VggConfig(**{"weights": "random:0", **changes}))


def test_only_uint8_rgb_pictures_are_taken(extractor) -> None:
    for frames in (np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.float32)):
        with pytest.raises(MediaError, match="must be uint8"):
            extractor(frames)
