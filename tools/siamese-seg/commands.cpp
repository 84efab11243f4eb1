#include "siamese-seg/commands.h"

namespace orchard::siamese_seg {

void AddTensorCommands(cli::Program& program, const TensorRuns& runs) {
  program.Add<segment::SegmentTrainOptions>(
      {.name = "train",
       .summary = "trains a network on pairs of an image and a labelled example",
       .example =
           "siamese-seg train data/hippocampus --config configs/siamese-seg/quick.toml --out "
           "runs/hippocampus",
       .details =
           "The run directory's folder final is all that predict needs. --attention off "
           "trains the same U-Net\n"
           "without a template. Stopped by SIGTERM or SIGUSR1, it leaves with 75 and goes on "
           "with --resume."},
      runs.train);
  program.Add<segment::PredictOptions>(
      {.name = "predict",
       .summary = "segments NIfTI files and DICOM series",
       .example = "siamese-seg predict --model runs/hippocampus data/medical/mr_dicom --out "
                  "runs/segmented",
       .details = "Finished cases are left alone unless --force. Cases that fail are listed in "
                  "failures.json and end\n"
                  "with exit code 4, the others are done. Nothing here is a medical device."},
      runs.predict);
  program.Add<segment::QcOptions>(
      {.name = "qc",
       .summary = "estimates the quality of segmentations without a reference",
       .example = "siamese-seg qc scans/ --pred labels/ --model runs/hippocampus --out runs/qc",
       .details =
           "Each label map steers the segmentation of labelled cases: a right one is a good "
           "template (reverse\n"
           "classification accuracy). And several templates are asked about the image: where "
           "they disagree, look."},
      runs.qc);
  program.Add<segment::TemplatesOptions>(
      {.name = "templates",
       .summary = "keeps labelled examples, encoded, in a file: builds, lists, selects",
       .example = "siamese-seg templates build bank.h5 --model runs/hippocampus --data "
                  "data/hippocampus",
       .details =
           "predict --template-set BANK chooses from it. Encoded templates lie beside it, in "
           "BANK.tokens, each named\n"
           "after the weights and the template it was made from, and are made anew when "
           "either changes."},
      runs.templates);
  program.Add<segment::BenchOptions>(
      {.name = "bench",
       .summary = "times a kernel against the same mathematics from LibTorch's operations",
       .example = "siamese-seg bench attention --tokens 4096"},
      runs.bench);
  program.Add<segment::ExportModelOptions>(
      {.name = "export",
       .summary = "writes a trained model with its templates as one file to hand on",
       .example = "siamese-seg export runs/hippocampus hippocampus.safetensors --dtype bf16",
       .details =
           "predict --model takes such a file. OUTPUT.pt is a TorchScript module instead, which "
           "torch.jit.load runs\n"
           "without Orchard: from a prepared patch to logits, with its templates encoded."},
      runs.export_model);
  program.Add<segment::repro::ReproOptions>(
      {.name = "repro",
       .summary = "runs the experiments behind the method's claims, and says what came out",
       .example = "siamese-seg repro size --quick --seeds 1",
       .details = "Every training gets the same processor time. Finished trainings are kept in "
                  "--cases, or "
                  "in --out, and\n"
                  "found again with --resume; with --shard the tasks of an array job divide them."},
      runs.repro);
}

}  // namespace orchard::siamese_seg
