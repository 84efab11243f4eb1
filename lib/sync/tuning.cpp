#include "sync/tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/number_format.h"
#include "sync/algorithm.h"
#include "sync/message.h"

namespace orchard::sync {
namespace {

constexpr int64_t kLongestDelay = 10;  // steps; more has not been tried (cser-train repro C7)
constexpr double kWorth = 1.05;        // what a step must be longer by before anybody cares

}  // namespace

void Advise(Tuning& t) {
  PredictOptions predict;
  predict.params = t.parameters;
  predict.world = t.ranks;
  predict.bandwidth = 8 * t.link.bandwidth;
  predict.latency_us = 1e6 * t.link.latency;
  predict.compute_ms = 1e3 * t.compute;
  // What the dense exchange was seen to hide.
  const double wire = BytesSent({.reduced = t.parameters}, t.ranks, 4) / t.link.bandwidth;
  const double shown = std::max(0.0, t.dense - t.compute);
  predict.overlap_ms = 1e3 * std::clamp(wire - shown, 0.0, t.compute);
  predict.ratios = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
  t.predictions = Predict(predict).steps;
  t.pays = t.dense > kWorth * t.configured;
  t.advised_ratio = t.predictions.back().ratio;
  const double shortest = t.compute + 2 * (t.ranks - 1) * t.link.latency;
  for (const StepPrediction& p : t.predictions) {
    if (p.seconds <= kWorth * shortest) {
      t.advised_ratio = p.ratio;
      break;
    }
  }
  if (t.dense <= kWorth * t.compute) t.advised_ratio = 1;
  const double bytes = 10 * t.link.latency * t.link.bandwidth * t.ranks;
  t.bucket_mb = std::clamp(bytes / 1e6, 0.01, 64.0);
  const double latency = 2 * (t.ranks - 1) * t.link.latency;
  const double left = wire / t.advised_ratio + latency;
  t.delay = left > 0.05 * t.compute && t.advised_ratio > 1
                ? static_cast<int64_t>(std::ceil(left / std::max(1e-9, t.compute)))
                : 0;
}

std::string Tuning::Text() const {
  const auto ms = [](double seconds) { return FormatSignificant(1e3 * seconds, 3) + " ms"; };
  const std::string step =
      fmt::format("a step takes {} without messages, {} with a dense exchange, {} with {}",
                  ms(compute), ms(dense), ms(configured), algorithm);
  if (advised_ratio == 1) {
    return step + ": compression does not pay here, the dense exchange is hidden or short";
  }
  if (!pays) {
    return step + fmt::format(": these settings do not pay; a ratio of {:g} should", advised_ratio);
  }
  return step + fmt::format(
                    ": compression pays, from a ratio of {:g} on there is little left to "
                    "gain",
                    advised_ratio);
}

TuningChoice ChooseBy(const Tuning& t, const AlgorithmOptions& algorithm,
                      const CompressOptions& compress, const ArenaLayout& layout) {
  TuningChoice choice;
  choice.bucket_mb = t.bucket_mb;
  const bool dense = algorithm.algo == AlgorithmKind::kSgd;
  // Settings that only a choice can show to fit together.
  const auto fits = [&] {
    AlgorithmOptions a = algorithm;
    CompressOptions c = compress;
    ApplyChoice(choice, a, c);
    try {
      MakeAlgorithm<float>(a, c, layout, 0);
      return true;
    } catch (const UsageError&) {
      return false;
    }
  };
  if (t.advised_ratio > 1) {
    choice.algo = dense ? AlgorithmKind::kCser : algorithm.algo;
    choice.ratio = t.advised_ratio;
    while (choice.ratio > 1 && !fits()) choice.ratio /= 2;
    choice.delay = std::min(t.delay, kLongestDelay);
    if (choice.ratio > 1 && !fits()) choice.delay = 0;
  }
  if (choice.ratio == 1) choice.algo = AlgorithmKind::kSgd;
  choice.text = t.Text();
  if (choice.algo == AlgorithmKind::kSgd) {
    choice.text += "; training with --algo sgd";
  } else {
    choice.text +=
        fmt::format("; training with --algo {} --ratio {:g}", NameOf(choice.algo), choice.ratio);
    if (choice.delay > 0) choice.text += fmt::format(" --delay {}", choice.delay);
    if (choice.ratio < t.advised_ratio) {
      choice.text += fmt::format(", since the model has too few blocks for {:g}", t.advised_ratio);
    }
  }
  return choice;
}

void ApplyChoice(const TuningChoice& choice, AlgorithmOptions& algorithm,
                 CompressOptions& compress) {
  algorithm.algo = choice.algo;
  compress.ratio = choice.ratio;
  compress.bucket_mb = choice.bucket_mb;
  compress.c1_ratio.reset();
  compress.c2_ratio.reset();
  compress.interval.reset();
  compress.c1_slab.clear();
  compress.c2_slab.clear();
  if (choice.delay > 0) {
    compress.delay = choice.delay;
  } else {
    compress.delay.reset();
  }
  if (choice.algo != AlgorithmKind::kSgd) return;
  // Nothing of a compressed algorithm is left.
  algorithm.impl = Implementation::kAuto;
  algorithm.momentum_sync = algorithm.second_moment_sync = MomentumSync::kNone;
  compress.c1.reset();
  compress.c2.reset();
  compress.theta = compress.ratio_growth = 1;
}

nlohmann::json ToJson(const TuningChoice& c) {
  return {{"algorithm", NameOf(c.algo)},
          {"ratio", c.ratio},
          {"bucket_mb", c.bucket_mb},
          {"delay", c.delay},
          {"text", c.text}};
}

TuningChoice ParseTuningChoice(const nlohmann::json& json) {
  TuningChoice c;
  const auto name = json.at("algorithm").get<std::string>();
  for (const auto& entry : kAlgorithmKindNames) {
    if (name == entry.name) c.algo = entry.value;
  }
  json.at("ratio").get_to(c.ratio);
  json.at("bucket_mb").get_to(c.bucket_mb);
  json.at("delay").get_to(c.delay);
  json.at("text").get_to(c.text);
  return c;
}

nlohmann::json ToJson(const Tuning& t) {
  nlohmann::json json = {{"ranks", t.ranks},
                         {"parameters", t.parameters},
                         {"latency_us", 1e6 * t.link.latency},
                         {"bandwidth_bits", 8 * t.link.bandwidth},
                         {"compute_seconds", t.compute},
                         {"dense_seconds", t.dense},
                         {"configured_seconds", t.configured},
                         {"algorithm", t.algorithm},
                         {"ratio", t.ratio},
                         {"advised_ratio", t.advised_ratio},
                         {"bucket_mb", t.bucket_mb},
                         {"delay", t.delay},
                         {"pays", t.pays},
                         {"text", t.Text()},
                         {"steps", nlohmann::json::array()}};
  for (const StepPrediction& p : t.predictions) {
    json["steps"].push_back({{"ratio", p.ratio}, {"seconds", p.seconds}, {"speedup", p.speedup}});
  }
  return json;
}

}  // namespace orchard::sync
