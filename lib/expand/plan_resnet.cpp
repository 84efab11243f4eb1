// The plan of a residual network. Source: LEMON, appendix on convolutional networks;
// docs/methods/lemon-expand.md, "Residual networks".
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "arch/resnet.h"
#include "base/error.h"
#include "expand/config_edit.h"
#include "expand/make_op.h"
#include "expand/plan.h"
#include "expand/resnet_sizes.h"
#include "expand/sizes.h"
#include "expand/source_tensors.h"

namespace orchard::expand {
namespace {

using arch::Kind;
using arch::ResNetTensor;

class ResNetBuilder {
 public:
  ResNetBuilder(const SourceModel& source, const TargetOptions& target,
                const MethodOptions& options)
      : source_(source),
        options_(options),
        recipe_(RecipeOf(options, source.architecture)),
        tensors_(source, false) {
    plan_.method = options.method;
    plan_.source = source.sizes;
    plan_.target = ResolveSizes(source.architecture, source.sizes, target, options);
    CheckResNetReachable(from(), to(), options);
    plan_.layers = PlaceBlocks(from(), to(), recipe_, options);
    plan_.stage_maps = MakeStageMaps(from(), to(), recipe_);
    plan_.lossless = recipe_.lossless;
    plan_.epsilon_before = plan_.epsilon_after = *source.architecture.fixed_epsilon;
  }

  Plan Build() {
    for (const ResNetTensor& tensor : arch::ResNetTensors(to())) AddTensor(tensor);
    std::sort(plan_.tensors.begin(), plan_.tensors.end(),
              [](const TensorOp& x, const TensorOp& y) { return x.name < y.name; });
    for (const TensorOp& op : plan_.tensors)
      plan_.exactness = std::max(plan_.exactness, op.exactness);
    plan_.config = EditConfig(source_, plan_, options_, false);
    AddWarnings();
    return std::move(plan_);
  }

 private:
  const arch::ResNetShape& from() const { return *plan_.source.resnet; }
  const arch::ResNetShape& to() const { return *plan_.target.resnet; }

  void AddTensor(const ResNetTensor& tensor) {
    const LayerPlan* block = tensor.block < 0 ? nullptr : &plan_.layers[tensor.block];
    const io::TensorInfo* info = tensors_.InSlot(SourceName(tensor, block));
    if (!info) return;  // a counter of batches that the source does without
    TensorOp op = StartOp(*info, tensor.name, options_);
    switch (tensor.kind) {
      case Kind::kConv:
      case Kind::kLinear:
        MakeMatrix(*info, tensor, op);
        break;
      case Kind::kNormWeight:
      case Kind::kNormBias:
      case Kind::kStatistic:
        MakeNorm(*info, tensor, op);
        break;
      default:
        break;
    }
    if (recipe_.fresh) MakeFresh(tensor, op);
    op.new_layer = block && block->neutral;
    if (op.new_layer && !recipe_.fresh) Silence(tensor, op);
    if (!plan_.lossless) op.exactness = Exactness::kApproximate;
    plan_.tensors.push_back(op);
  }

  std::string SourceName(const ResNetTensor& tensor, const LayerPlan* block) const {
    if (!block) return tensor.name;
    const auto [stage, b] = arch::ResNetBlockAt(to(), tensor.block);
    const auto [source_stage, source_block] = arch::ResNetBlockAt(from(), block->source);
    return arch::ResNetBlockPrefix(source_stage, source_block) +
           tensor.name.substr(arch::ResNetBlockPrefix(stage, b).size());
  }

  AxisMapPtr MapOf(const std::string& axis, int64_t stored) const {
    const auto it = plan_.stage_maps.find(axis);
    if (it != plan_.stage_maps.end()) return it->second;
    return std::make_shared<const AxisMap>(AxisMap::Identity(stored));
  }

  // What a block passes on, rather than what stays inside it.
  static bool IsStream(const std::string& axis) { return axis[0] == 'S' || axis[0] == 'C'; }

  // Standard deviation of the target's initialiser: He-normal by fan-out for convolutions, uniform
  // in +-1/sqrt(fan-in) for the classifier, as torchvision.
  static double Initialiser(const ResNetTensor& tensor) {
    if (tensor.kind == Kind::kLinear) {
      return 1 / std::sqrt(3 * static_cast<double>(tensor.shape[1]));
    }
    return std::sqrt(2 / static_cast<double>(tensor.shape[0] * tensor.shape[2] * tensor.shape[3]));
  }

  void MakeMatrix(const io::TensorInfo& info, const ResNetTensor& tensor, TensorOp& op) const {
    CheckAxes(source_, info, tensor.axes.size());
    const std::string &out = tensor.axes[0], &in = tensor.axes[1];
    SetMatrix(source_, info, tensor.axes, false, MapOf(out, info.shape[0]),
              MapOf(in, info.shape[1]), op);
    SetSplit(recipe_.split, options_, op);
    op.sigma = options_.noise_scale * Initialiser(tensor);
    op.pad_sigma = options_.pad_scale * Initialiser(tensor);
    // Zero padding: silent channels stay silent in what blocks pass on; inside a block they may
    // hold anything that nothing reads.
    op.row_pad = IsStream(out) ? RowPad::kZero : RowPad::kNoise;
    op.column_pad = IsStream(in) ? ColumnPad::kNoise : ColumnPad::kZero;
    op.exactness = MatrixExactness(op);
    op.policy = MatrixPolicy(op);
  }

  void MakeNorm(const io::TensorInfo& info, const ResNetTensor& tensor, TensorOp& op) const {
    CheckAxes(source_, info, 1);
    SetVector(source_, info, tensor.axes[0], MapOf(tensor.axes[0], info.shape[0]), op);
    op.vector_pad = IsOne(tensor) ? VectorPad::kOne : VectorPad::kZero;
    if (options_.norm_dtype == Widened::kF32 && op.dtype != io::DType::kF64)
      op.dtype = io::DType::kF32;
    op.policy = op.rows->pads() > 0 ? "copied, padded" : "copied";
  }

  // Gains and variances start at one, the rest at zero.
  static bool IsOne(const ResNetTensor& tensor) {
    return tensor.kind == Kind::kNormWeight || tensor.name.ends_with(".running_var");
  }

  void MakeFresh(const ResNetTensor& tensor, TensorOp& op) const {
    if (op.kind == OpKind::kMatrix) {
      DrawFresh(op, Initialiser(tensor));
    } else if (op.kind == OpKind::kVector) {
      Fill(op, IsOne(tensor) ? 1 : 0, "fresh");
    } else if (tensor.name == "fc.bias") {
      Fill(op, 0, "fresh");
    }
  }

  // A new block gives relu(x + 0) = x: what it reads has passed a ReLU already.
  void Silence(const ResNetTensor& tensor, TensorOp& op) const {
    const char* last = to().bottleneck ? ".bn3." : ".bn2.";
    const bool norm = tensor.kind == Kind::kNormWeight || tensor.kind == Kind::kNormBias;
    if (norm && tensor.name.find(last) != std::string::npos) {
      Fill(op, 0, "new block: last norm silenced");
    }
  }

  void AddWarnings() {
    const auto theirs = [](const arch::ResNetShape& shape) {
      const bool one_width = shape.bottleneck || shape.inner == shape.stem;
      return shape.stem == arch::ResNetShape().stem && one_width;
    };
    if (!theirs(from()) || theirs(to())) return;
    plan_.warnings.push_back(
        "torchvision's class has no such network (64 channels after the stem, one width in basic "
        "blocks); code that reads the sizes off the tensors loads it");
  }

  const SourceModel& source_;
  const MethodOptions& options_;
  Recipe recipe_;
  SourceTensors tensors_;
  Plan plan_;
};

}  // namespace

Plan PlanResNet(const SourceModel& source, const TargetOptions& target,
                const MethodOptions& options) {
  return ResNetBuilder(source, target, options).Build();
}

}  // namespace orchard::expand
