"""siamese-seg convert against nibabel (NIfTI) and pydicom (DICOM series, segmentations)."""
import gzip
import itertools
import json
import os
import pathlib
import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

PROGRAM = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "bin" / "siamese-seg"
DATA = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"]) / "data" / "medical"
SERIES = DATA / "mr_dicom"


def run(*arguments, code=0):
    done = subprocess.run([str(a) for a in (PROGRAM, *arguments, "--json")], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def rotation(rng, most=0.6):
    """A rotation about a random axis by less than `most`, where the nearest axes are beyond doubt."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = rng.uniform(0, most)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def oblique(rng):
    """A random affine: permuted, flipped and turned axes."""
    axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    affine = np.eye(4)
    affine[:3, :3] = rotation(rng) @ axes @ np.diag(rng.uniform(0.5, 3, 3))
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return affine


# ---- NIfTI ----

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@pytest.mark.parametrize("version, order, name", list(itertools.product([1, 2], "<>", TYPES)))
def test_nibabels_files_are_read_and_written_as_nibabel_would(tmp_path, version, order, name):
    rng = np.random.default_rng(sum(map(ord, name)) + version)
    dtype = np.dtype(order + name)
    data = rng.integers(0, 100, (3, 4, 5)).astype(dtype)
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    affine = oblique(rng)
    image = kind(data, affine, dtype=dtype)
    image = kind(data, affine, header=type(image.header)(endianness=order), dtype=dtype)
    image.header.set_data_dtype(dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nibabel.save(image, tmp_path / "in.nii.gz")
    run("convert", tmp_path / "in.nii.gz", tmp_path / "out.nii.gz")
    ours, theirs = nibabel.load(tmp_path / "out.nii.gz"), nibabel.as_closest_canonical(image)
    assert ours.get_data_dtype() == dtype.newbyteorder("=")
    np.testing.assert_array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(ours.header.get_qform(), ours.header.get_sform(), atol=1e-4)
    assert nibabel.aff2axcodes(ours.affine) == ("R", "A", "S")


def save(path, data, affine):
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header["pixdim"][4:] = 1
    nibabel.save(image, path)
    return path.read_bytes()


@pytest.mark.parametrize("name", TYPES)
def test_the_bytes_are_nibabels(tmp_path, name):
    data = np.arange(60).reshape(3, 4, 5).astype(name)
    affine = np.diag([0.5, 2, 3, 1.0])
    affine[:3, 3] = [-7, 8, 9]
    theirs = save(tmp_path / "canonical.nii", data, affine)
    # The same voxels, stored to the left and posterior: turned back, ours is nibabel's file to the byte.
    turned = affine @ np.array([[-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    save(tmp_path / "turned.nii", data[::-1, ::-1], turned)
    for source in ["canonical.nii", "turned.nii"]:
        run("convert", tmp_path / source, tmp_path / "ours.nii", "--force")
        ours = (tmp_path / "ours.nii").read_bytes()
        assert len(ours) == len(theirs)
        assert [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b] == []


def test_scaling_is_nibabels(tmp_path):
    values = np.linspace(-3, 9, 60).reshape(3, 4, 5)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "in.nii")
    assert nibabel.load(tmp_path / "in.nii").dataobj.slope != 1
    run("convert", tmp_path / "in.nii", tmp_path / "out.nii")
    np.testing.assert_array_equal(nibabel.load(tmp_path / "in.nii").get_fdata(), nibabel.load(tmp_path / "out.nii").get_fdata())


def test_qform_alone_and_sform_alone_place_as_nibabel(tmp_path):
    rng = np.random.default_rng(3)
    for codes in [(0, 1), (1, 0), (2, 4)]:
        image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), oblique(rng))
        sform = oblique(rng)
        image.set_qform(image.affine, codes[0])
        image.set_sform(sform, codes[1])
        nibabel.save(image, tmp_path / "in.nii")
        facts = run("inspect", tmp_path / "in.nii")
        np.testing.assert_allclose(facts["affine"], nibabel.load(tmp_path / "in.nii").affine, atol=1e-4)


def test_orientation_codes_are_nibabels(tmp_path):
    rng = np.random.default_rng(4)
    for i in range(40):
        affine = oblique(rng)
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), affine), tmp_path / f"{i}.nii")
        assert run("inspect", tmp_path / f"{i}.nii")["orientation"] == "".join(nibabel.aff2axcodes(affine))


def test_every_gzip_reader_reads_ours(tmp_path):
    data = np.random.default_rng(5).integers(0, 1000, (200, 100, 90)).astype(np.int16)  # several blocks
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "in.nii")
    run("convert", tmp_path / "in.nii", tmp_path / "out.nii.gz", "--threads", 2)
    assert gzip.decompress((tmp_path / "out.nii.gz").read_bytes())[352:] == data.tobytes(order="F")
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(tmp_path / "out.nii.gz").dataobj), data)


# ---- DICOM ----


def assemble(folder):
    """The series' volume [x, y, z] and RAS affine, by pydicom alone."""
    files = [pydicom.dcmread(path) for path in pathlib.Path(folder).iterdir()]
    row, column = np.array(files[0].ImageOrientationPatient[:3], float), np.array(files[0].ImageOrientationPatient[3:], float)
    normal = np.cross(row, column)
    files.sort(key=lambda file: np.dot(normal, np.array(file.ImagePositionPatient, float)))
    slices = []
    for file in files:
        values = file.pixel_array.astype(float) * float(file.get("RescaleSlope", 1)) + float(file.get("RescaleIntercept", 0))
        slices.append(values.T)
    first, last = (np.array(file.ImagePositionPatient, float) for file in (files[0], files[-1]))
    affine = np.eye(4)
    affine[:3, 0] = row * float(files[0].PixelSpacing[1])
    affine[:3, 1] = column * float(files[0].PixelSpacing[0])
    affine[:3, 2] = (last - first) / max(1, len(files) - 1)
    affine[:3, 3] = first
    return np.stack(slices, -1), np.diag([-1, -1, 1, 1]) @ affine


def assert_same_image(path, volume, affine):
    ours = nibabel.load(path)
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, affine))
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())
    corners = np.array([[*index, 1] for index in itertools.product(*[(0, n - 1) for n in ours.shape])]).T
    np.testing.assert_allclose(ours.affine @ corners, theirs.affine @ corners, atol=1e-4)


def make_series(folder, rng, shape=(5, 7, 6), signed=True, rescale=(1, 0), tilt=0.0, kind="CT"):
    """An oblique series of random slices; returns its files."""
    folder.mkdir()
    turn = rotation(rng)
    row, column, normal = turn[:, 0], turn[:, 1], turn[:, 2]
    origin, spacing, step = rng.uniform(-100, 100, 3), rng.uniform(0.3, 2, 2), rng.uniform(0.5, 5)
    study, series, frame = (pydicom.uid.generate_uid() for _ in range(3))
    files = []
    order = rng.permutation(shape[2])
    for number, z in enumerate(order):
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage if kind == "CT" else pydicom.uid.MRImageStorage
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = study, series, frame
        file.PatientName, file.PatientID, file.Modality, file.InstanceNumber = "A^B", "1", kind, number + 1
        position = origin + z * step * (normal + np.tan(tilt) * column)
        file.ImagePositionPatient = [f"{x:.10g}" for x in position]
        file.ImageOrientationPatient = [f"{x:.10g}" for x in (*row, *column)]
        file.PixelSpacing = [f"{x:.10g}" for x in spacing]
        file.SliceThickness = "9"
        file.Rows, file.Columns = shape[1], shape[0]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, int(signed)
        low, high = (-2048, 2048) if signed else (0, 4096)
        pixels = rng.integers(low, high, (shape[1], shape[0]))
        file.PixelData = pixels.astype("<i2" if signed else "<u2").tobytes()
        file.RescaleSlope, file.RescaleIntercept = str(rescale[0]), str(rescale[1] - int(z))
        path = folder / f"{number:03d}"
        file.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_series_are_assembled_as_pydicom_has_them(tmp_path, seed, signed):
    rng = np.random.default_rng(10 + seed)
    make_series(tmp_path / "in", rng, signed=signed, rescale=[(1, 0), (2, -1024), (1, 0), (3, 7)][seed])
    run("convert", tmp_path / "in", tmp_path / "out.nii.gz")
    assert_same_image(tmp_path / "out.nii.gz", *assemble(tmp_path / "in"))


def test_the_shipped_series(tmp_path):
    run("convert", SERIES, tmp_path / "out.nii.gz")
    assert_same_image(tmp_path / "out.nii.gz", *assemble(SERIES))


def test_a_tilted_gantry_keeps_every_voxel_in_its_place(tmp_path):
    make_series(tmp_path / "in", np.random.default_rng(20), tilt=0.3)
    out = run("convert", tmp_path / "in", tmp_path / "out.nii.gz")
    assert out["cases"][0]["sheared"] and "tilted by 17.2 degrees" in " ".join(out["cases"][0]["warnings"])
    assert_same_image(tmp_path / "out.nii.gz", *assemble(tmp_path / "in"))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_what_pydicom_compresses(tmp_path, syntax):
    for path in make_series(tmp_path / "in", np.random.default_rng(30), shape=(64, 96, 4)):
        file = pydicom.dcmread(path)
        file.compress(syntax)
        file.save_as(path)
    run("convert", tmp_path / "in", tmp_path / "out.nii.gz")
    assert_same_image(tmp_path / "out.nii.gz", *assemble(tmp_path / "in"))


# ---- segmentations ----


def decode(file):
    """Segment masks by source UID, by pydicom; and each frame's position."""
    frames = file.pixel_array
    frames = frames if frames.ndim == 3 else frames[None]
    result = []
    for mask, groups in zip(frames, file.PerFrameFunctionalGroupsSequence):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber if "SegmentIdentificationSequence" in groups else 0
        result.append((segment, source, np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float), mask))
    return result


@pytest.mark.parametrize("kind", ["dicom-seg", "labelmap-seg"])
@pytest.mark.parametrize("seed", range(3))
def test_pydicom_sees_the_labels_on_the_right_slices(tmp_path, kind, seed):
    rng = np.random.default_rng(40 + seed)
    files = make_series(tmp_path / "in", rng, shape=(5, 7, 6), tilt=[0, 0, 0.2][seed])  # 35 bits a frame
    run("convert", tmp_path / "in", tmp_path / "image.nii.gz")
    image = nibabel.load(tmp_path / "image.nii.gz")
    labels = rng.integers(0, 4, image.shape).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), tmp_path / "labels.nii.gz")
    run("convert", tmp_path / "labels.nii.gz", tmp_path / "seg.dcm", "--reference", tmp_path / "in", "--to", kind)
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    sources = {str(source.SOPInstanceUID): source for source in map(pydicom.dcmread, files)}
    to_voxel = np.linalg.inv(image.affine)
    seen = 0
    for segment, uid, position, mask in decode(file):
        source = sources[uid]
        np.testing.assert_allclose(position, np.array(source.ImagePositionPatient, float), atol=1e-6)
        row, column = np.array(source.ImageOrientationPatient[:3], float), np.array(source.ImageOrientationPatient[3:], float)
        for r, c in itertools.product(range(7), range(5)):
            lps = position + c * row * float(source.PixelSpacing[1]) + r * column * float(source.PixelSpacing[0])
            index = tuple(np.rint(to_voxel @ [-lps[0], -lps[1], lps[2], 1]).astype(int)[:3])
            if kind == "dicom-seg":
                assert mask[r, c] == (labels[index] == segment)
                seen += int(mask[r, c])
            else:
                assert mask[r, c] == labels[index]
                seen += int(mask[r, c] > 0)
    assert seen == np.count_nonzero(labels)
    assert file.ReferencedSeriesSequence[0].SeriesInstanceUID == next(iter(sources.values())).SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in file.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == set(sources)
    # and back, bit by bit
    run("convert", tmp_path / "seg.dcm", tmp_path / "back.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(tmp_path / "back.nii.gz").dataobj), labels)


def test_required_attributes_of_a_segmentation(tmp_path):
    run("convert", SERIES, tmp_path / "image.nii.gz")
    image = nibabel.load(tmp_path / "image.nii.gz")
    labels = (image.get_fdata() > 80).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), tmp_path / "labels.nii.gz")
    run("convert", tmp_path / "labels.nii.gz", tmp_path / "seg.dcm", "--reference", SERIES, "--labels", "1=bright")
    file, source = pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(SERIES / "1.dcm")
    for keyword in ["PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate", "StudyTime", "AccessionNumber"]:
        assert file[keyword].value == source[keyword].value, keyword
    for keyword in ["PatientBirthDate", "PatientSex", "ContentDate", "ContentTime", "ContentLabel", "SegmentsOverlap", "DimensionOrganizationSequence",
                    "DimensionIndexSequence", "SoftwareVersions", "DeviceSerialNumber", "LossyImageCompression"]:
        assert keyword in file, keyword
    assert (file.Modality, file.SegmentationType, file.BitsAllocated, file.ImageType) == ("SEG", "BINARY", 1, ["DERIVED", "PRIMARY"])
    segment = file.SegmentSequence[0]
    assert (segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType) == (1, "bright", "AUTOMATIC")
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    for uid in [file.SOPInstanceUID, file.SeriesInstanceUID]:
        assert uid.is_valid and uid.startswith("2.25.")


def test_mixed_folders_and_odd_names(tmp_path):
    rng = np.random.default_rng(60)
    make_series(tmp_path / "a", rng)
    make_series(tmp_path / "b", rng, kind="MR")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for folder in "ab":
        for path in (tmp_path / folder).iterdir():
            shutil.copy(path, mixed / f"{folder} {path.name} ü.x")
    facts = run("inspect", mixed)
    assert sorted(series["modality"] for series in facts["series"]) == ["CT", "MR"]
    for series in facts["series"]:
        run("convert", mixed, tmp_path / "out.nii", "--series", series["id"], "--force")
        assert_same_image(tmp_path / "out.nii", *assemble(tmp_path / ("a" if series["modality"] == "CT" else "b")))


ODD = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.mark.parametrize("path", sorted(ODD.glob("*.dcm")), ids=lambda path: path.name)
def test_pydicoms_odd_files_are_read_as_pydicom_reads_them_or_refused_in_one_line(tmp_path, path):
    out = tmp_path / "out.nii"
    done = subprocess.run([PROGRAM, "convert", path, out, "--no-canonical"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        assert done.returncode == 3 and done.stderr.count("\n") == 1 and path.name in done.stderr, done.stderr
        return
    file = pydicom.dcmread(path, force=True)
    if file.get("Modality") == "SEG":
        assert nibabel.load(out).shape[:2] == (file.Columns, file.Rows)
        return
    if path.name in ("MR_small_jpeg_ls_lossless.dcm", "badVR.dcm"):  # no decoder there; numbers that pydicom refuses
        if path.name.startswith("MR"):
            run("convert", ODD / "MR_small.dcm", tmp_path / "plain.nii", "--no-canonical")
            np.testing.assert_array_equal(nibabel.load(out).get_fdata(), nibabel.load(tmp_path / "plain.nii").get_fdata())
        return
    stored = file.pixel_array
    pixels = stored * float(file.get("RescaleSlope", 1)) + float(file.get("RescaleIntercept", 0))
    if "PixelPaddingValue" in file:
        padding = stored == file.PixelPaddingValue
        pixels[padding] = pixels[~padding].min()
    np.testing.assert_array_equal(nibabel.load(out).get_fdata()[:, :, 0], pixels.T)


def test_the_odd_files_that_hold_a_placed_image_are_not_refused(tmp_path):
    names = ["CT_small", "MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_jp2klossless",
             "MR_small_jpeg_ls_lossless", "MR_small_padded", "693_J2KI", "J2K_pixelrep_mismatch", "badVR", "examples_overlay"]
    for name in names:
        run("convert", ODD / f"{name}.dcm", tmp_path / f"{name}.nii")
