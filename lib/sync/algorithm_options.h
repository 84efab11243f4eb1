// Which algorithm trains, and what it sends.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "sync/block_selector.h"
#include "sync/compressor.h"
#include "sync/exchange.h"
#include "sync/update_element.h"

namespace orchard::sync {

enum class AlgorithmKind {
  kSgd,
  kCser,
  kCsea,
  kCserPl,
  kSparta,
  kLocalSgd,
  kQsparse,
  kEfSgd,
  kTopKEf,
  kRandomKEf,
  kSignEf,
  kInt8Ef,
  kDgc,
  kPowerSgd,
  kEf21
};
inline constexpr cli::EnumName<AlgorithmKind> kAlgorithmKindNames[] = {
    {"sgd", AlgorithmKind::kSgd},         {"cser", AlgorithmKind::kCser},
    {"csea", AlgorithmKind::kCsea},       {"cser-pl", AlgorithmKind::kCserPl},
    {"sparta", AlgorithmKind::kSparta},   {"local-sgd", AlgorithmKind::kLocalSgd},
    {"qsparse", AlgorithmKind::kQsparse}, {"ef-sgd", AlgorithmKind::kEfSgd},
    {"topk-ef", AlgorithmKind::kTopKEf},  {"randomk-ef", AlgorithmKind::kRandomKEf},
    {"sign-ef", AlgorithmKind::kSignEf},  {"int8-ef", AlgorithmKind::kInt8Ef},
    {"dgc", AlgorithmKind::kDgc},         {"powersgd", AlgorithmKind::kPowerSgd},
    {"ef21-sgdm", AlgorithmKind::kEf21}};
constexpr auto EnumNames(AlgorithmKind) { return std::span(kAlgorithmKindNames); }
std::string NameOf(AlgorithmKind kind);
// CSER and its special cases.
bool InCserFamily(AlgorithmKind kind);

enum class BaseOptimizer { kSgd, kAdam, kAdamW, kLamb, kLion };
inline constexpr cli::EnumName<BaseOptimizer> kBaseOptimizerNames[] = {
    {"sgd", BaseOptimizer::kSgd},
    {"adam", BaseOptimizer::kAdam},
    {"adamw", BaseOptimizer::kAdamW},
    {"lamb", BaseOptimizer::kLamb},
    {"lion", BaseOptimizer::kLion}};
constexpr auto EnumNames(BaseOptimizer) { return std::span(kBaseOptimizerNames); }

enum class Implementation { kAuto, kOne, kTwo };
inline constexpr cli::EnumName<Implementation> kImplementationNames[] = {
    {"auto", Implementation::kAuto}, {"1", Implementation::kOne}, {"2", Implementation::kTwo}};
constexpr auto EnumNames(Implementation) { return std::span(kImplementationNames); }

inline constexpr cli::EnumName<MomentumRule> kMomentumRuleNames[] = {
    {"torch", MomentumRule::kNesterov},
    {"heavy-ball", MomentumRule::kHeavyBall},
    {"mxnet-cser", MomentumRule::kRelease}};
constexpr auto EnumNames(MomentumRule) { return std::span(kMomentumRuleNames); }

enum class MomentumSync { kNone, kReset, kBlocks };
inline constexpr cli::EnumName<MomentumSync> kMomentumSyncNames[] = {
    {"none", MomentumSync::kNone},
    {"reset", MomentumSync::kReset},
    {"blocks", MomentumSync::kBlocks}};
constexpr auto EnumNames(MomentumSync) { return std::span(kMomentumSyncNames); }

struct AlgorithmOptions {
  AlgorithmKind algo = AlgorithmKind::kCser;
  Implementation impl = Implementation::kAuto;
  BaseOptimizer base = BaseOptimizer::kSgd;
  MomentumRule nag = MomentumRule::kNesterov;
  double momentum = 0.9;
  double beta1 = 0.9;           // Adam, AdamW, LAMB, Lion
  std::optional<double> beta2;  // unset: 0.999, Lion 0.99
  double epsilon = 1e-8;        // Adam, AdamW, LAMB
  double weight_decay = 5e-4;
  MomentumSync momentum_sync = MomentumSync::kNone;
  MomentumSync second_moment_sync = MomentumSync::kNone;

  void Fields(cli::FieldVisitor& f) {
    f("algo", algo, "how ranks train together");
    f("impl", impl,
      "cser family: 1 keeps the error apart (any compressor); 2 averages blocks of the models "
      "themselves: a step that is no reset also resets the past error of its blocks, and a reset "
      "sends C1 alone; auto: 2 where all ranks select the same places");
    f("base", base,
      "a rank's own optimiser, of sgd, the cser family and qsparse: sgd with momentum, adam, "
      "adamw, "
      "lamb or lion");
    f("nag", nag,
      "momentum: Nesterov as torch.optim, heavy ball, or Nesterov as in CSER's released code");
    f("momentum", momentum, "sgd: decay of the momentum", cli::Within(0, 1));
    f("beta1", beta1, "other optimisers: decay of the first moment", cli::Within(0, 1));
    f("beta2", beta2, "of the second moment (default 0.999); lion: of its momentum (0.99)",
      cli::Within(0, 1));
    f("epsilon", epsilon, "adam, adamw, lamb: added to the root of the second moment",
      cli::AtLeast(0));
    f("weight_decay", weight_decay,
      "weight decay, of all tensors; decoupled for adamw, lamb and lion", cli::AtLeast(0));
    f("momentum_sync", momentum_sync,
      "cser family: average the momentum of the blocks sent, never, at resets, or always");
    f("second_moment_sync", second_moment_sync,
      "cser family with adam, adamw or lamb: the same with the second moment");
  }
};

struct CompressOptions {
  double ratio = 64;                         // dense traffic / traffic, wanted
  std::optional<CompressorKind> c1, c2;      // of errors (models), of gradients
  std::optional<double> c1_ratio, c2_ratio;  // unset: from `ratio`
  std::optional<int64_t> interval;           // H; unset: from `ratio`
  int64_t block = 0;                         // elements; 0: see BlockFor
  BlockLayout layout = BlockLayout::kFlat;
  BlockOrder order = BlockOrder::kCyclic;
  std::vector<int64_t> c1_slab, c2_slab;  // official layout: dim0, dim1, layers
  int64_t draw_seed = 0;
  WireFormat wire = WireFormat::kFull;
  std::optional<int64_t> delay;  // steps; unset: 0, sparta 1
  double theta = 1;
  double ratio_growth = 1;
  double bucket_mb = 4;
  bool overlap = true;
  int64_t rank = 2;  // PowerSGD
  int64_t dense_steps = 0;
  int64_t density_steps = 0;   // DGC
  double ef21_momentum = 0.1;  // EF21-SGDM

  void Fields(cli::FieldVisitor& f) {
    f("ratio", ratio,
      "dense traffic over traffic that is wanted; the settings below follow from it",
      cli::AtLeast(1));
    f("c1", c1, "compressor of errors or models (default grbs)");
    f("c1_ratio", c1_ratio, "its ratio", cli::AtLeast(1));
    f("c2", c2, "cser: compressor of gradients (default grbs)");
    f("c2_ratio", c2_ratio, "its ratio", cli::AtLeast(1));
    f("interval", interval, "steps between error resets, H", cli::AtLeast(1));
    f("block", block, "elements of a block (0: 1024, or fewer in small models)",
      cli::Between(0, 1 << 20));
    f("layout", layout,
      "blocks of the flat arena, or slabs of every tensor as in the released code");
    f("order", order, "every block once per cycle, or drawn anew each time as in the paper");
    f("c1_slab", c1_slab, "official layout: one part in I,O,L of first axis, second axis, tensors");
    f("c2_slab", c2_slab, "the same for gradients");
    f("draw_seed", draw_seed, "seed of the draws, with the seed of the run");
    f("wire", wire,
      "numbers of a message: full, or rounded to bf16, fp16 or int8, where what rounding leaves "
      "out "
      "stays in the error (impl 1, ef-sgd, randomk-ef, qsparse) or is lost (sgd)");
    f("delay", delay,
      "cser family: steps after which a mean is applied, so that the link has that long for a "
      "message (default 0; sparta 1)",
      cli::Between(0, 1000));
    f("theta", theta,
      "cser family: part of a rank's error at which it takes gradients; 1: error reset, 0: error "
      "feedback",
      cli::Between(0, 1));
    f("ratio_growth", ratio_growth,
      "largest factor by which ratios grow, in powers of two, as the learning rate decays (1: "
      "none)",
      cli::AtLeast(1));
    f("bucket_mb", bucket_mb,
      "megabytes after which a message is cut at the next tensor, so that its end leaves earlier",
      cli::Positive());
    f("overlap", overlap,
      "send while earlier layers still run backward and while updates go on; the same bits");
    f("rank", rank, "powersgd: rank of the approximation", cli::AtLeast(1));
    f("dense_steps", dense_steps, "first steps without compression", cli::AtLeast(0));
    f("density_steps", density_steps,
      "dgc: steps at each of the densities 25, 6.25, 1.56, 0.4 % before the final one",
      cli::AtLeast(0));
    f("ef21_momentum", ef21_momentum, "ef21-sgdm: weight of a new gradient", cli::Between(0, 1));
  }
};

// What the options come to for one algorithm.
struct ResolvedAlgorithm {
  CompressorKind c1 = CompressorKind::kNone, c2 = CompressorKind::kNone;
  SelectorOptions c1_selector, c2_selector;
  int64_t interval = 1;  // H
  int implementation = 2;
  bool common_support = true;  // whether all ranks select the same places
  int64_t delay = 0;           // steps
};

// The paper's division of a wanted ratio R: gradients and errors get half of the budget each,
// R_C2 = 2R, R_C1 = the power of two at or above sqrt(2R)/2 within [2, 16], H = R_C2/R_C1.
// Throws UsageError for settings that do not fit together.
ResolvedAlgorithm Resolve(const AlgorithmOptions& algorithm, const CompressOptions& compress);

}  // namespace orchard::sync
