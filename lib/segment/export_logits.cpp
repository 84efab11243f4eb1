#include "segment/export_logits.h"

#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "io/medical/nifti.h"
#include "io/safetensors.h"
#include "volume/label_export.h"

namespace orchard::segment {
namespace {

template <class L>
double Export(const volume::LabelExportArgs& args, const float* logits, io::Volume& labels,
              ThreadPool& pool) {
  volume::LabelExporter<L> exporter(args, labels.Elements<L>().data(), pool);
  const int64_t plane = args.axes[0].inputs * args.axes[1].inputs;
  exporter.Feed(0, args.axes[2].inputs, logits, plane * args.axes[2].inputs);
  return exporter.InterpolatedShare();
}

}  // namespace

ExportLogitsResult ExportLogits(const ExportLogitsOptions& options, int threads) {
  if (!io::IsNiftiName(options.output))
    throw UsageError("not a NIfTI name", options.output.string(), ".nii or .nii.gz");
  const auto file = io::Checkpoint::Open(options.logits);
  const io::TensorInfo& tensor = file.Get("logits");
  if (tensor.dtype != io::DType::kF32 || tensor.shape.size() != 4 || tensor.elements() == 0)
    throw DataError("the tensor `logits` is not float32 [K, D, H, W]", options.logits.string());
  const volume::Size3 from = {tensor.shape[3], tensor.shape[2], tensor.shape[1]};
  volume::Size3 to = from;
  if (!options.size.empty()) {
    if (options.size.size() != 3) throw UsageError("--size wants three numbers", "", "x,y,z");
    to = {options.size[0], options.size[1], options.size[2]};
  }
  volume::LabelExportArgs args{
      .classes = tensor.shape[0], .size = to, .shortcut = options.shortcut};
  for (size_t a = 0; a < 3; ++a) args.axes[a] = volume::StretchedAxis(from[a], to[a]);

  ThreadPool pool(threads);
  ExportLogitsResult result{.classes = args.classes};
  const auto* const logits = reinterpret_cast<const float*>(file.Bytes(tensor).data());
  const bool small = args.classes <= 256;
  const double start = SecondsNow();
  io::Volume labels = io::MakeVolume({to, {}}, small ? io::DType::kU8 : io::DType::kU16);
  result.interpolated = small ? Export<uint8_t>(args, logits, labels, pool)
                              : Export<uint16_t>(args, logits, labels, pool);
  const double exported = SecondsNow();
  io::WriteNifti(options.output, labels,
                 {.intent_code = io::kNiftiIntentLabel, .threads = threads});
  result.export_seconds = exported - start;
  result.write_seconds = SecondsNow() - exported;
  return result;
}

}  // namespace orchard::segment
