#include "sync/verify.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "sync/algorithm.h"
#include "sync/averaged_model.h"
#include "sync/local_optimizer.h"
#include "sync/replica.h"

namespace orchard::sync {
namespace {

bool MovesByTheMeanStep(const SyncTrainOptions& o) {
  if (o.optim.algo == AlgorithmKind::kSgd) {
    // The step of a mean gradient is the mean step where it is linear in the gradient.
    return o.optim.base == BaseOptimizer::kSgd && o.compress.wire == WireFormat::kFull;
  }
  return InCserFamily(o.optim.algo);
}

// `a` or |b|; infinite where b is not a number, which no comparison would notice.
double Larger(double a, double b) {
  return std::isnan(b) ? std::numeric_limits<double>::infinity() : std::max(a, std::abs(b));
}

double Largest(std::span<const double> values) {
  double largest = 0;
  for (const double v : values) largest = Larger(largest, v);
  return largest;
}

// The largest of a number over ranks.
double MaxOverRanks(double value, comm::Communicator& ranks) {
  std::vector<double> all(static_cast<size_t>(ranks.size()));
  all[ranks.rank()] = value;
  ranks.AllReduce(std::span<double>(all));
  return Largest(all);
}

class Verifier {
 public:
  Verifier(const SyncTrainOptions& o, const TrainSetting& setting, const TrainingData& data,
           comm::Communicator& ranks)
      : options_(o),
        data_(data),
        ranks_(ranks),
        control_(ranks.Split(0)),
        pool_(setting.threads),
        replica_(data.MakeNetwork(o.model, setting.seed)),
        algorithm_(MakeAlgorithm<float>(o.optim, o.compress, replica_.layout(), setting.seed)),
        batches_(data.Batches(o.data, ranks.rank(), ranks.size(), setting.seed, pool_)),
        optimizer_(o.optim, replica_.layout()),
        step_(replica_.layout().size()) {}

  Verification Run(int64_t steps) {
    algorithm_->Begin(replica_.values());
    const int64_t sent_before = ranks_.traffic().sent;
    for (int64_t t = 1; t <= steps; ++t) Step(t);
    algorithm_->State();  // waits for what is on its way
    const auto sent = static_cast<double>(ranks_.traffic().sent - sent_before);
    Verification v;
    v.algorithm = NameOf(options_.optim.algo);
    v.ranks = ranks_.size();
    v.steps = steps;
    const double scale = std::max(1e-30, largest_weight_);
    v.checks.push_back({"common part of the models", CommonPart() / scale, 1e-5});
    if (MovesByTheMeanStep(options_)) {
      v.checks.push_back({"mean model against mean step", mean_error_ / scale, 1e-6});
    }
    std::array<double, 1> all = {sent};
    control_->AllReduce(std::span<double>(all));
    const double planned = BytesSent(planned_, ranks_.size(), sizeof(float)) * ranks_.size();
    v.checks.push_back(
        {"bytes against formula", planned > 0 ? std::abs(all[0] / planned - 1) : all[0], 0.01});
    v.checks.push_back({"evaluation changes the state", EvaluationChange(steps), 0});
    return v;
  }

 private:
  void Step(int64_t t) {
    const LabelledBatch batch = batches_->Train(t - 1);
    replica_.Gradient(batch.inputs, batch.labels);
    const StepInput<float> input{.step = t,
                                 .learning_rate = options_.schedule.lr,
                                 .values = replica_.values(),
                                 .gradient = replica_.gradient(),
                                 .ranks = ranks_};
    const std::vector<double> before = MeanModel();
    // What this rank would do by itself. LAMB makes steps in place of gradients.
    const std::vector<float> gradient(input.gradient.begin(), input.gradient.end());
    optimizer_.MakeStep(input, step_.span());
    std::copy(gradient.begin(), gradient.end(), input.gradient.begin());
    const std::vector<double> step = Mean(step_.span());
    algorithm_->Step(input);
    planned_ += algorithm_->MessageOf(t, ranks_.size());
    const std::vector<double> after = MeanModel();
    for (size_t i = 0; i < after.size(); ++i) {
      mean_error_ = Larger(mean_error_, after[i] - (before[i] - step[i]));
    }
    largest_weight_ = Larger(largest_weight_, Largest(after));
  }

  std::vector<double> Mean(std::span<const float> own) {
    std::vector<double> mean(own.begin(), own.end());
    control_->AllReduce(std::span<double>(mean));
    for (double& v : mean) v /= ranks_.size();
    return mean;
  }

  // The mean over ranks of their models in full.
  std::vector<double> MeanModel() {
    std::vector<float> own(replica_.values().begin(), replica_.values().end());
    algorithm_->AddHeldBack(own);
    return Mean(own);
  }

  // How far x_i - e_i is from that of rank 0, at most; 0 for algorithms that promise nothing.
  double CommonPart() {
    const std::span<const float> e = algorithm_->error();
    if (e.empty() && !algorithm_->OneModel()) return 0;
    std::vector<float> common(replica_.values().begin(), replica_.values().end());
    algorithm_->RemoveErrors(common);
    std::vector<float> first = common;
    control_->Broadcast(std::span<float>(first));
    double largest = 0;
    for (size_t i = 0; i < common.size(); ++i) {
      largest = Larger(largest, static_cast<double>(common[i]) - first[i]);
    }
    return MaxOverRanks(largest, *control_);
  }

  std::string Digest() {
    Sha256 hash;
    hash.Update(std::as_bytes(replica_.values()));
    hash.Update(std::as_bytes(replica_.statistics()));
    for (const StateBuffer<float>& s : algorithm_->State()) hash.Update(std::as_bytes(s.values));
    return hash.Hex();
  }

  double EvaluationChange(int64_t step) {
    const std::string before = Digest();
    EvaluateAverage(replica_, algorithm_.get(), *batches_, data_.test_size(), step, options_.eval,
                    *control_);
    return MaxOverRanks(Digest() == before ? 0 : 1, *control_);
  }

  const SyncTrainOptions& options_;
  const TrainingData& data_;
  comm::Communicator& ranks_;
  std::unique_ptr<comm::Communicator> control_;
  ThreadPool pool_;
  Replica replica_;
  std::unique_ptr<Algorithm<float>> algorithm_;
  std::unique_ptr<RankBatches> batches_;
  LocalOptimizer<float> optimizer_;  // of a rank that trains by itself
  FlatBuffer<float> step_;
  Message planned_;
  double mean_error_ = 0, largest_weight_ = 0;
};

}  // namespace

bool Verification::passes() const {
  return std::all_of(checks.begin(), checks.end(), [](const Check& c) { return c.passes(); });
}

Verification Verify(const SyncTrainOptions& options, const TrainSetting& setting,
                    const TrainingData& data, int64_t steps, comm::Communicator& communicator) {
  at::set_num_threads(setting.threads);
  return Verifier(options, setting, data, communicator).Run(steps);
}

nlohmann::json ToJson(const Verification& v) {
  nlohmann::json json = {{"algorithm", v.algorithm},
                         {"ranks", v.ranks},
                         {"steps", v.steps},
                         {"passes", v.passes()},
                         {"checks", nlohmann::json::array()}};
  for (const Check& c : v.checks) {
    json["checks"].push_back(
        {{"name", c.name}, {"value", c.value}, {"limit", c.limit}, {"passes", c.passes()}});
  }
  return json;
}

}  // namespace orchard::sync
