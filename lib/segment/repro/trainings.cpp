#include "segment/repro/trainings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "data/random_stream.h"
#include "run/summary.h"
#include "segment/label_copy.h"
#include "segment/predictor.h"
#include "segment/statistics.h"
#include "segment/template_network.h"
#include "segment/train.h"

namespace orchard::segment::repro {
namespace {

constexpr int64_t kResamples = 2000;
constexpr const char* kMetrics[] = {"dice", "hd95", "nsd"};

std::string CaseName(const Method& method, uint64_t seed) {
  return fmt::format("{}, {} cases, seed {}", method.name, method.cases, seed);
}

std::string Key(const std::string& inference, size_t scan, int64_t label, const char* metric) {
  return fmt::format("{}/{}/{}/{}", inference, scan, label, metric);
}

void Keep(run::Numbers& numbers, const std::string& inference, size_t scan,
          const std::vector<volume::Metrics>& classes) {
  for (size_t c = 0; c < classes.size(); ++c) {
    const double values[] = {classes[c].dice, classes[c].hd95, classes[c].nsd.front()};
    for (size_t m = 0; m < std::size(kMetrics); ++m) {
      if (std::isnan(values[m])) continue;
      numbers[Key(inference, scan, static_cast<int64_t>(c) + 1, kMetrics[m])] = values[m];
    }
  }
}

// The indices of the `count` most similar cases, best first.
std::vector<size_t> Nearest(const std::vector<PreparedCase>& cases, const TestScan& scan,
                            size_t count) {
  std::vector<double> similarity;
  similarity.reserve(cases.size());
  for (const PreparedCase& c : cases) similarity.push_back(Similarity(c.thumbnail, scan.thumbnail));
  std::vector<size_t> order(cases.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return similarity[a] > similarity[b]; });
  order.resize(std::min(order.size(), count));
  return order;
}

run::Numbers CopyLabelsOf(const Setting& setting, const Method& method, uint64_t seed) {
  const Cohort& cohort = *setting.cohort;
  const std::vector<PreparedCase> cases = cohort.Draw(method.cases, seed);
  ThreadPool pool(setting.threads);
  run::Numbers numbers;
  for (size_t n = 0; n < cohort.test.size(); ++n) {
    const TestScan& scan = cohort.test[n];
    std::vector<size_t> examples;
    if (method.kind == Method::Kind::kRandomCopy) {
      data::RandomStream random(seed, "copied case", n);
      examples = {random.Below(cases.size())};
    } else {
      examples = Nearest(cases, scan, method.kind == Method::Kind::kVote ? 10 : 1);
    }
    const CaseFrame& frame = scan.image.frame;
    const std::vector<uint8_t> labels =
        VoteLabels(cases, examples, frame.crop.size(), cohort.plan.classes());
    Keep(numbers, DefaultInference().name, n,
         Measure(OnWholeScan(labels, frame), scan, cohort.plan.classes(), pool));
  }
  return numbers;
}

run::Numbers Train(const Setting& setting, const Method& method, uint64_t seed) {
  const Cohort& cohort = *setting.cohort;
  const Plan plan =
      method.matched ? MatchedPlan(cohort.plan, BaseOptions(setting.minutes()).model) : cohort.plan;
  run::Numbers numbers;
  const auto use = [&](const TemplateNetwork& network, const TemplateBank& bank) {
    ThreadPool pool(setting.threads);
    std::vector<Inference> inference = method.inference;
    if (inference.empty()) inference = {DefaultInference()};
    for (const Inference& i : inference) {
      InferenceOptions options;
      options.select = i.select;
      options.templates = i.templates;
      options.ensemble = i.ensemble;
      Predictor predictor(network, bank, options, seed, pool);
      for (size_t n = 0; n < cohort.test.size(); ++n) {
        const TestScan& scan = cohort.test[n];
        PreparedImage image = scan.image;
        Corrupt(image, i.corruption, i.level, n, pool);
        const SegmentedImage s = predictor.Segment(image, scan.subject);
        Keep(numbers, i.name, n, Measure(s.labels, scan, plan.classes(), pool));
      }
    }
  };
  const SegmentTrainResult result =
      TrainOnCases(method.options, {.seed = seed, .threads = setting.threads, .progress = false},
                   cohort.Draw(method.cases, seed), plan, use);
  numbers["steps"] = static_cast<double>(result.steps);
  numbers["parameters"] = static_cast<double>(result.parameters);
  numbers["cpu_seconds"] = result.cpu_seconds;
  numbers["loss"] = result.loss;
  return numbers;
}

run::Estimate Bootstrap(const Setting& setting, const std::vector<double>& values) {
  const Distribution d = Describe(values, kResamples, setting.seed, "experiment");
  return {d.mean, d.low, d.high, setting.options.seeds};
}

}  // namespace

Setting Setting::Make(const ReproOptions& options, uint64_t seed, int threads, bool needs_scans) {
  Setting setting{.options = options, .seed = seed, .threads = threads};
  if (needs_scans) {
    setting.cohort =
        std::make_shared<const Cohort>(ReadCohort(options.data, options.quick, threads));
  }
  return setting;
}

std::string Setting::Key() const {
  return fmt::format("{} {} {}", options.quick, minutes(),
                     std::filesystem::absolute(options.data).lexically_normal().string());
}

std::vector<int64_t> Setting::Sizes() const {
  const int64_t all = std::ssize(cohort->training);
  std::vector<int64_t> sizes = options.sizes;
  if (sizes.empty())
    sizes = options.quick ? std::vector<int64_t>{8} : std::vector<int64_t>{8, 16, 50, all};
  for (int64_t& s : sizes) s = std::min(s, all);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

int64_t Setting::Size(int64_t wanted) const {
  return std::min<int64_t>(wanted, std::ssize(cohort->training));
}

SegmentTrainOptions BaseOptions(double minutes) {
  SegmentTrainOptions o;
  o.run.minutes = minutes;
  o.run.rate = RateShape::kCosine;
  o.run.warmup = 20;
  o.run.validate_every = 0;
  o.run.save_every = 0;
  o.run.bank = 0;
  o.optim.name = nn::OptimizerKind::kAdamW;
  o.optim.lr = 2e-3;
  o.optim.weight_decay = 1e-2;
  o.augment.mirror_axes = {};
  o.model.stem = TemplateStem::kStrided;
  return o;
}

Inference DefaultInference() { return {.name = "default"}; }

Method TemplateMethod(const Setting& setting, int64_t cases) {
  return {.name = fmt::format("template network, {:g} min", setting.minutes()),
          .cases = cases,
          .options = BaseOptions(setting.minutes())};
}

Method UNetMethod(const Setting& setting, int64_t cases) {
  Method method = TemplateMethod(setting, cases);
  method.name = fmt::format("U-Net, {:g} min", setting.minutes());
  method.options.model.attention = AttentionKind::kOff;
  method.matched = true;
  return method;
}

std::vector<Method> CopyMethods(int64_t cases) {
  return {{.name = "random copy", .kind = Method::Kind::kRandomCopy, .cases = cases},
          {.name = "nearest copy", .kind = Method::Kind::kNearestCopy, .cases = cases},
          {.name = "vote of ten", .kind = Method::Kind::kVote, .cases = cases}};
}

Plan MatchedPlan(const Plan& plan, const NetworkOptions& with_template) {
  const auto parameters = [](const Plan& p, const NetworkOptions& options) {
    return TemplateNetwork(p, options, 0).parameters().elements();
  };
  const int64_t wanted = parameters(plan, with_template);
  NetworkOptions off = with_template;
  off.attention = AttentionKind::kOff;
  Plan matched = plan;
  // The number grows with the width: halve the interval.
  int64_t low = plan.stages.back().channels, high = 2 * low;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    matched.stages.back().channels = middle;
    (parameters(matched, off) <= wanted ? low : high) = middle;
  }
  matched.stages.back().channels = low;
  return matched;
}

std::vector<run::Case> CasesOf(const Setting& setting, const std::vector<Method>& methods) {
  std::vector<run::Case> cases;
  // Seeds outermost: a stopped run has whole comparisons of fewer seeds.
  for (int64_t s = 0; s < setting.options.seeds; ++s) {
    const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
    for (const Method& method : methods) {
      cases.push_back({CaseName(method, seed), [&setting, method, seed] {
                         return method.kind == Method::Kind::kNetwork
                                    ? Train(setting, method, seed)
                                    : CopyLabelsOf(setting, method, seed);
                       }});
    }
  }
  return cases;
}

std::vector<double> ScanValues(const Setting& setting, const run::CaseResults& results,
                               const Method& method, const std::string& metric,
                               const std::string& inference) {
  const std::string how = inference.empty() ? DefaultInference().name : inference;
  std::vector<double> values;
  for (size_t n = 0; n < setting.cohort->test.size(); ++n) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t s = 0; s < setting.options.seeds; ++s) {
      const std::string name = CaseName(method, setting.seed + static_cast<uint64_t>(s));
      for (int64_t c = 1; c <= setting.cohort->plan.classes(); ++c) {
        const double v = results.At(name, Key(how, n, c, metric.c_str()));
        if (std::isnan(v)) continue;
        sum += v;
        ++count;
      }
    }
    values.push_back(count > 0 ? sum / static_cast<double>(count)
                               : std::numeric_limits<double>::quiet_NaN());
  }
  return values;
}

run::Estimate MeanValue(const Setting& setting, const run::CaseResults& results,
                        const Method& method, const std::string& metric,
                        const std::string& inference) {
  return Bootstrap(setting, ScanValues(setting, results, method, metric, inference));
}

Difference DifferenceOf(const Setting& setting, const std::vector<double>& a,
                        const std::vector<double>& b) {
  std::vector<double> differences;
  for (size_t n = 0; n < a.size(); ++n) {
    const double d = a[n] - b[n];
    if (!std::isnan(d)) differences.push_back(d);
  }
  return {Bootstrap(setting, differences), WilcoxonP(differences)};
}

double MeanNumber(const Setting& setting, const run::CaseResults& results, const Method& method,
                  const std::string& key) {
  double sum = 0;
  for (int64_t s = 0; s < setting.options.seeds; ++s)
    sum += results.At(CaseName(method, setting.seed + static_cast<uint64_t>(s)), key);
  return sum / static_cast<double>(setting.options.seeds);
}

std::string SeedMeans(const Setting& setting, const run::CaseResults& results,
                      const Method& method) {
  std::string text;
  Setting one = setting;
  one.options.seeds = 1;
  for (int64_t s = 0; s < setting.options.seeds; ++s) {
    one.seed = setting.seed + static_cast<uint64_t>(s);
    const run::Estimate mean = MeanValue(one, results, method, "dice");
    text += fmt::format("{}{:.3f}", text.empty() ? "" : " ", mean.mean);
  }
  return text;
}

run::Cell EstimateCell(const run::Estimate& estimate, int digits) {
  return run::Cell::Shown(fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", estimate.mean, digits,
                                      estimate.low, digits, estimate.high, digits),
                          estimate.mean);
}

}  // namespace orchard::segment::repro
