"""The scans of data/hippocampus, as data sets of a test's own."""
import shutil

from orchard_process import SOURCE

DATA = SOURCE / "data" / "hippocampus"
# A network that a test can train.
SMALL = ["--base-channels", "4", "--max-stages", "3", "--patch", "24,32,24"]


def copy_cases(folder, cases):
    """Images and labels of these cases below `folder`, which is made."""
    for part in ["images", "labels"]:
        (folder / part).mkdir(parents=True)
        for case in cases:
            shutil.copy(DATA / part / f"{case}.nii.gz", folder / part)
    return folder
