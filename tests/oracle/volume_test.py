"""lib/volume against scipy, PyPI edt, surface-distance and nnU-Net's resampling, and MedPy's formulas written out with scipy."""
import json
import os
import pathlib
import subprocess
import warnings

import edt
import numpy as np
import pytest
import scipy.ndimage as ndimage
import scipy.stats

warnings.filterwarnings("ignore")
if not hasattr(np, "Inf"):
    np.Inf = np.inf  # surface-distance 0.1 was written for NumPy 1
import surface_distance  # noqa: E402
from surface_distance import lookup_tables  # noqa: E402

DRIVER = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "tests" / "orchard-volume"
DATA = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"]) / "data" / "hippocampus"


@pytest.fixture
def call(tmp_path):
    def run(what, config, data, dtype=None, shape=None):
        (tmp_path / "config.json").write_text(json.dumps(config))
        data = data if isinstance(data, (list, tuple)) else [data]
        (tmp_path / "in").write_bytes(b"".join(np.asarray(a).tobytes(order="F") for a in data))
        done = subprocess.run([DRIVER, what, tmp_path / "config.json", tmp_path / "in", tmp_path / "out"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if dtype is None:
            return json.loads(done.stdout)
        return np.fromfile(tmp_path / "out", dtype).reshape(shape, order="F")
    return run


def blobs(rng, shape, threshold=0.1, sigma=2):
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return field > threshold * field.std()


SPACINGS = [(1, 1, 1), (0.7, 0.7, 5), (3, 0.25, 1.1)]


# ---- distances ----

@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", [(31, 22, 17), (1, 40, 9), (70, 3, 5), (5, 300, 2)])
def test_distances_of_a_mask_are_scipys_to_the_bit(call, spacing, shape):
    rng = np.random.default_rng(len(shape) + shape[0])
    for mask in [rng.random(shape) < 0.97, rng.random(shape) < 0.5, np.ones(shape, bool)]:
        mask[0, 0, 0] = False
        squared = call("distances", {"size": shape, "spacing": spacing, "border": False}, mask.astype(np.int32), np.float64, shape)
        expected = ndimage.distance_transform_edt(mask, sampling=spacing)
        assert np.array_equal(np.sqrt(squared), expected)


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_distances_between_labels_are_edts(call, spacing, border):
    rng = np.random.default_rng(5)
    shape = (40, 33, 21)
    labels = ndimage.zoom(rng.integers(0, 5, (5, 4, 3)), np.array(shape) / (5, 4, 3), order=0).astype(np.int32)
    labels[rng.random(shape) < 0.01] = 7
    squared = call("distances", {"size": shape, "spacing": spacing, "border": border}, labels, np.float64, shape)
    expected = edt.edtsq(np.asfortranarray(labels), anisotropy=spacing, black_border=border)
    np.testing.assert_allclose(squared, expected, rtol=2e-6)


# ---- components ----

@pytest.mark.parametrize("connectivity, rank", [(6, 1), (18, 2), (26, 3)])
def test_components_are_scipys(call, connectivity, rank):
    rng = np.random.default_rng(rank)
    shape = (37, 29, 23)
    labels = (rng.random(shape) < 0.3).astype(np.int32) * rng.integers(1, 4, shape, dtype=np.int32)
    ids = call("components", {"size": shape, "connectivity": connectivity}, labels, np.int32, shape)
    structure = ndimage.generate_binary_structure(3, rank)
    count = 0
    for label in (1, 2, 3):
        expected, n = ndimage.label(labels == label, structure)
        count += n
        pairs = np.unique(np.stack([expected[labels == label], ids[labels == label]]), axis=1)
        assert pairs.shape[1] == n and len(set(pairs[1])) == n  # the same sets under other numbers
    assert ids.max() == count and (ids[labels == 0] == 0).all()
    first = [np.flatnonzero(ids.ravel(order="F") == c)[0] for c in range(1, min(count, 50) + 1)]
    assert first == sorted(first)


# ---- resampling ----

@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("to", [(45, 33, 29), (13, 20, 11), (31, 50, 17)])
def test_resizing_is_nnunets(call, to, order):
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg
    rng = np.random.default_rng(order)
    shape = (31, 22, 17)
    image = ndimage.gaussian_filter(rng.normal(size=shape), 1).astype(np.float32)
    resized = call("resize", {"size": shape, "to": to, "order": [order] * 3}, image, np.float32, to)
    expected = resample_data_or_seg(image[None], to, is_seg=False, axis=None, order=order, do_separate_z=False)[0]
    # nnU-Net clips to the range of the input (scikit-image's default), a spline may overshoot.
    np.testing.assert_allclose(np.clip(resized, image.min(), image.max()), expected, atol=2e-5)


def test_resizing_a_thick_axis_apart_is_nnunets(call):
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg
    rng = np.random.default_rng(8)
    shape, to = (25, 30, 5), (40, 41, 11)
    image = ndimage.gaussian_filter(rng.normal(size=shape), (1, 1, 0)).astype(np.float32)
    resized = call("resize", {"size": shape, "to": to, "order": [3, 3, 0]}, image, np.float32, to)
    expected = resample_data_or_seg(image[None], to, is_seg=False, axis=2, order=3, do_separate_z=True, order_z=0)[0]
    # nnU-Net clips each slice to its own range.
    nearest = np.minimum(((np.arange(to[2]) + 0.5) * shape[2] / to[2]).astype(int), shape[2] - 1)
    low, high = image.min((0, 1))[nearest], image.max((0, 1))[nearest]
    np.testing.assert_allclose(np.clip(resized, low, high), expected, atol=2e-5)


@pytest.mark.parametrize("to", [(45, 33, 29), (13, 20, 11)])
def test_labels_are_the_largest_of_resized_one_hots(call, to):
    from skimage.transform import resize
    rng = np.random.default_rng(11)
    shape = (21, 22, 17)
    labels = (blobs(rng, shape).astype(np.uint16) + 2 * blobs(rng, shape).astype(np.uint16))
    resized = call("labels", {"size": shape, "to": to, "order": [1, 1, 1]}, labels, np.uint16, to)
    shares = np.stack([resize((labels == c).astype(float), to, order=1, mode="edge", anti_aliasing=False) for c in range(4)])
    top = np.sort(shares, 0)
    clear = top[-1] - top[-2] > 1e-5  # ties go to the lowest label here, either way there
    assert clear.mean() > 0.9
    assert np.array_equal(resized[clear], shares.argmax(0)[clear])


@pytest.mark.parametrize("to", [(40, 37, 25), (9, 8, 30)])
def test_exported_labels_are_the_largest_of_trilinear_logits(call, to):
    import torch
    rng = np.random.default_rng(13)
    shape, classes = (17, 12, 10), 21
    logits = ndimage.gaussian_filter(rng.normal(size=(classes, *shape)), (0, 1, 1, 1)).astype(np.float32)
    labels = call("export", {"size": shape, "to": to, "classes": classes}, list(logits), np.uint16, to)
    large = torch.nn.functional.interpolate(torch.from_numpy(logits.astype(np.float64))[None], size=to, mode="trilinear", align_corners=False)[0].numpy()
    top = np.sort(large, 0)
    clear = top[-1] - top[-2] > 1e-6
    assert clear.mean() > 0.999
    assert np.array_equal(labels[clear], large.argmax(0)[clear])


# ---- metrics ----

def pairs():
    """Masks that overlap, touch the border, lie apart, are single voxels or boxes."""
    rng = np.random.default_rng(3)
    shape = (24, 20, 17)
    for _ in range(6):
        yield blobs(rng, shape), blobs(rng, shape)
    for _ in range(4):
        a = blobs(rng, shape, 1.0)
        yield a, np.roll(a, rng.integers(1, 4, 3), (0, 1, 2))
    for _ in range(6):
        one, two = np.zeros(shape, bool), np.zeros(shape, bool)
        for mask in (one, two):
            lo = rng.integers(0, 10, 3)
            hi = lo + rng.integers(1, 7, 3)
            mask[lo[0]:hi[0], lo[1]:hi[1], lo[2]:hi[2]] = True
        yield one, two
    yield rng.random(shape) < 0.4, rng.random(shape) < 0.4


def compare(call, one, two, spacing, surface="surfel", compat="none", tolerances=(1.0, 2.1)):
    config = {"size": one.shape, "spacing": spacing, "surface": surface, "compat": compat, "tolerances": tolerances}
    return call("metrics", config, [one.astype(np.uint16), two.astype(np.uint16)])


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 2.1), (3, 0.25, 1.1)])
def test_surface_areas_are_surface_distances(call, spacing):
    # A mask of two voxels' width with a hole meets many codes; all 256 at once: noise.
    table = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    rng = np.random.default_rng(1)
    noise = rng.random((9, 9, 9)) < 0.5
    expected = surface_distance.compute_surface_distances(noise, noise, spacing)["surfel_areas_gt"].sum()
    # With nothing within reach the NSD is a share of areas; against itself plus a far voxel it shows the total.
    far = np.zeros((9, 9, 60), bool)
    far[:, :, :9] = noise
    other = far.copy()
    other[4, 4, 55] = True
    result = compare(call, other, far, spacing, tolerances=[1e-3])
    single = 8 * table[1]
    assert result["NSD"][0] == pytest.approx(2 * expected / (2 * expected + single), rel=1e-12)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 2.1), (3, 0.25, 1.1)])
def test_metrics_are_surface_distances(call, spacing):
    for prediction, reference in pairs():
        mine = compare(call, prediction, reference, spacing, compat="deepmind")
        theirs = surface_distance.compute_surface_distances(reference, prediction, spacing)
        gp, pg = theirs["distances_gt_to_pred"], theirs["distances_pred_to_gt"]
        ag, ap = theirs["surfel_areas_gt"], theirs["surfel_areas_pred"]
        assert mine["HD95"] == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1e-6)
        assert mine["HD"] == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 100), abs=1e-6)
        assert mine["MASD"] == pytest.approx(np.mean(surface_distance.compute_average_surface_distance(theirs)), abs=1e-6)
        assert mine["ASSD"] == pytest.approx(((gp * ag).sum() + (pg * ap).sum()) / (ag.sum() + ap.sum()), abs=1e-6)
        assert mine["Dice"] == pytest.approx(surface_distance.compute_dice_coefficient(reference, prediction), abs=1e-12)
        for nsd, tolerance in zip(mine["NSD"], (1.0, 2.1)):
            assert nsd == pytest.approx(surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance), abs=1e-6)


def test_a_distance_to_nothing_is_infinite_there(call):
    mask = np.zeros((6, 6, 6), bool)
    mask[2:4, 2:4, 2:4] = True
    mine = compare(call, np.zeros_like(mask), mask, (1, 1, 1), compat="deepmind")
    theirs = surface_distance.compute_surface_distances(mask, np.zeros_like(mask), (1, 1, 1))
    assert surface_distance.compute_robust_hausdorff(theirs, 95) == np.inf and mine["HD95"] == "inf"


def test_contours_in_a_plane_are_surface_distances(call):
    rng = np.random.default_rng(4)
    for axis in range(3):
        for spacing in [(1, 1), (0.6, 1.7)]:
            one, two = blobs(rng, (30, 24)), blobs(rng, (30, 24))
            volume_spacing = np.insert(spacing, axis, 9.0).tolist()
            mine = compare(call, np.expand_dims(one, axis), np.expand_dims(two, axis), volume_spacing, compat="deepmind")
            theirs = surface_distance.compute_surface_distances(two, one, spacing)
            assert mine["HD95"] == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1e-6)
            assert mine["NSD"][0] == pytest.approx(surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0), abs=1e-6)
            assert mine["MASD"] == pytest.approx(np.mean(surface_distance.compute_average_surface_distance(theirs)), abs=1e-6)


def voxel_distances(a, b, spacing):
    """MedPy's surface distances: from the voxels of a's border to b's border."""
    structure = ndimage.generate_binary_structure(3, 1)
    edge_a, edge_b = (m & ~ndimage.binary_erosion(m, structure) for m in (a, b))
    return ndimage.distance_transform_edt(~edge_b, sampling=spacing)[edge_a]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_voxel_surfaces_are_medpys(call, spacing):
    for prediction, reference in pairs():
        ab, ba = voxel_distances(prediction, reference, spacing), voxel_distances(reference, prediction, spacing)
        mine = compare(call, prediction, reference, spacing, surface="voxel")
        assert mine["HD"] == max(ab.max(), ba.max())
        assert mine["HD95"] == pytest.approx(max(np.percentile(ab, 95), np.percentile(ba, 95)), abs=1e-9)
        assert mine["HD95Pooled"] == pytest.approx(np.percentile(np.hstack([ab, ba]), 95), abs=1e-9)
        assert mine["ASSD"] == pytest.approx(np.hstack([ab, ba]).mean(), abs=1e-9)
        assert mine["MASD"] == pytest.approx((ab.mean() + ba.mean()) / 2, abs=1e-9)
        medpy = compare(call, prediction, reference, spacing, compat="medpy")
        assert medpy["HD95"] == mine["HD95Pooled"] and medpy["ASSD"] == mine["MASD"]


def test_real_labels(call):
    import nibabel
    a, b = (np.asarray(nibabel.load(DATA / "labels" / f"hippocampus_{n}.nii.gz").dataobj) for n in ("001", "004"))
    size = np.minimum(a.shape, b.shape)
    cut = tuple(slice(0, n) for n in size)
    for label in (1, 2):
        one, two = a[cut] == label, b[cut] == label
        mine = compare(call, one, two, (1, 1, 1), compat="deepmind")
        theirs = surface_distance.compute_surface_distances(two, one, (1, 1, 1))
        assert mine["HD95"] == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1e-6)
        assert mine["NSD"][0] == pytest.approx(surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0), abs=1e-6)


# ---- statistics ----

@pytest.mark.parametrize("n", [3, 12, 40, 50, 51, 120])
def test_wilcoxon_is_scipys(call, n):
    rng = np.random.default_rng(n)
    for shift in (0, 0.3, 1):
        d = rng.normal(shift, 1, n)
        assert call("wilcoxon", {}, d) == pytest.approx(scipy.stats.wilcoxon(d).pvalue, rel=1e-9)
    d = np.round(rng.normal(0.2, 1, n + 20), 1)  # ties and zeros
    assert call("wilcoxon", {}, d) == pytest.approx(scipy.stats.wilcoxon(d, method="asymptotic").pvalue, rel=1e-9)
