"""nnunet_comparison.py SCRATCH SIAMESE_SEG DATA SPLIT MINUTES: the runs of scripts/bench.d/nnunet, and their Dice by siamese-seg evaluate."""
import json
import pathlib
import subprocess
import sys

scratch, program, data, split = (pathlib.Path(a).resolve() for a in sys.argv[1:5])
minutes = sys.argv[5]
here = pathlib.Path(__file__).resolve().parent
chosen = json.loads(split.read_text())
tested = chosen.get("test") or chosen["validation"]
rows = []


def run(*command):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, check=True, text=True).stdout


def folder_of(name, cases, parent):
    """Files of images or labels, as links in a folder of their own."""
    folder = scratch / parent / name
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        link = folder / f"{case}.nii.gz"
        if not link.exists():
            link.symlink_to(data / name / link.name)
    return folder


def add(name, predicted, **more):
    out = run(program, "evaluate", "--pred", predicted, "--ref", folder_of("labels", tested, "tested"), "--json")
    result = json.loads(out)
    rows.append({"name": f"{name}, Dice", "value": result["foreground_mean"]["Dice"], "unit": "", **more})


def ours(name, *options):
    out, predicted = scratch / name.replace(" ", "_"), scratch / (name.replace(" ", "_") + "_labels")
    result = json.loads(run(program, "train", data, "--plan", scratch / "plan.json", "--split", scratch / "split.json", "--config",
                            here.parents[2] / "configs/siamese-seg/quick.toml", "--minutes", minutes, "--validate-every", 0, "--bank", 0,
                            "--threads", 1, "--no-progress", "--json", "--out", out, *options))
    run(program, "predict", "--model", out, folder_of("images", tested, "tested"), "--select", "nearest", "--threads", 1, "--no-progress", "--out", predicted)
    add(name, predicted, steps=result["steps"], seconds=result["cpu_seconds"], parameters=result["parameters"])


def nnunet(name, batch):
    work = scratch / name.replace(" ", "_").replace(",", "")
    work.mkdir()
    out = run(sys.executable, here / "nnunet_training.py", work, data, split, minutes, batch)
    add(name, work / "predicted", **json.loads(out.splitlines()[-1]))


def main():
    # Cases to test are nobody's validation cases: nothing is chosen by them.
    (scratch / "split.json").write_text(json.dumps({"train": chosen["train"], "validation": tested[:1]}))
    for name in ["images", "labels"]:
        folder_of(name, chosen["train"], "trained")
    run(program, "plan", scratch / "trained", "-o", scratch / "plan.json")
    ours("siamese-seg")
    ours("siamese-seg without template", "--attention", "off")
    nnunet("nnU-Net", 0)
    nnunet("nnU-Net, two patches", 2)
    print(json.dumps(rows))


main()
