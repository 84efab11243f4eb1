"""nnunet_training.py SCRATCH DATA SPLIT MINUTES BATCH: nnU-Net v2 (3d_fullres, its own plan) trained for MINUTES of processor time.

DATA has images/ and labels/, SPLIT is a JSON file {"train": [...], "test" or "validation": [...]}. A step is nnU-Net's own (network, loss,
augmentation, SGD); only the end differs: the rate falls as 0.01 (1 - t)^0.9 over the processor time instead of 250,000 steps. BATCH 0 is the
plan's. Predictions of the test cases, with nnU-Net's mirrored ensemble, lie in SCRATCH/predicted; prints {"steps", "seconds", "parameters"}."""
import json
import os
import pathlib
import shutil
import sys
import time

scratch, data, split = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
minutes, batch = float(sys.argv[4]), int(sys.argv[5])
for name in ["raw", "preprocessed", "results"]:
    os.environ["nnUNet_" + name] = str(scratch / name)
os.environ.update(nnUNet_n_proc_DA="1", nnUNet_compile="0", nnUNet_def_n_proc="1")

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

ID, NAME = 1, "Dataset001_Bench"


def write_raw_data(ids):
    raw = scratch / "raw" / NAME
    for folder in ["imagesTr", "labelsTr"]:
        (raw / folder).mkdir(parents=True, exist_ok=True)
    for case in ids:
        shutil.copy(data / "images" / f"{case}.nii.gz", raw / "imagesTr" / f"{case}_0000.nii.gz")
        shutil.copy(data / "labels" / f"{case}.nii.gz", raw / "labelsTr" / f"{case}.nii.gz")
    description = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "anterior": 1, "posterior": 2}, "numTraining": len(ids), "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(description))
    return description


def train(plans, description):
    trainer = nnUNetTrainer(plans, "3d_fullres", "all", description, torch.device("cpu"))
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.network.train()
    begin, limit, steps = time.process_time(), 60 * minutes, 0
    while (used := time.process_time() - begin) < limit:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - used / limit) ** 0.9
        trainer.train_step(next(trainer.dataloader_train))
        steps += 1
    return trainer, steps, time.process_time() - begin


def predict(trainer, ids):
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    trainer.set_deep_supervision_enabled(False)
    predictor.manual_initialization(trainer.network, trainer.plans_manager, trainer.configuration_manager, [trainer.network.state_dict()],
                                    trainer.dataset_json, "nnUNetTrainer", trainer.inference_allowed_mirroring_axes)
    predictor.predict_from_files_sequential([[str(data / "images" / f"{case}.nii.gz")] for case in ids],
                                            [str(scratch / "predicted" / case) for case in ids], save_probabilities=False, overwrite=True)


def main():
    sys.stdout = sys.stderr  # nnU-Net prints much
    chosen = json.loads(split.read_text())
    (scratch / "predicted").mkdir(parents=True, exist_ok=True)
    description = write_raw_data(chosen["train"])
    extract_fingerprints([ID], num_processes=1)
    plan_experiments([ID])
    preprocess([ID], "nnUNetPlans", ["3d_fullres"], [1])
    plans = json.loads((scratch / "preprocessed" / NAME / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    if batch:
        plans["configurations"]["3d_fullres"]["batch_size"] = batch
    os.environ["nnUNet_n_proc_DA"] = "0"  # augment in this process, whose time is measured; planning refuses 0
    torch.manual_seed(1)
    trainer, steps, seconds = train(plans, description)
    predict(trainer, chosen.get("test") or chosen["validation"])
    parameters = sum(p.numel() for p in trainer.network.parameters())
    print(json.dumps({"steps": steps, "seconds": seconds, "parameters": parameters,
                      "batch": plans["configurations"]["3d_fullres"]["batch_size"]}), file=sys.__stdout__)


if __name__ == "__main__":  # nnU-Net starts processes that import this file
    main()
