#include "place/training_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>

#include "place/analytic_cost.h"
#include "place/topology.h"

namespace orchard::place {
namespace {

class StepBuilder {
 public:
  StepBuilder(const Graph& forward, const StepOptions& options)
      : f_(forward),
        options_(options),
        k_(options.microbatches),
        builder_(forward.name.empty() ? "training step" : forward.name),
        origin_(std::make_shared<StepOrigin>()) {
    origin_->forward = forward;
    origin_->options = options;
    Classify();
    PlanRecomputation();
  }

  Graph Build() {
    AddOperators();
    for (int32_t m = 0; m < k_; ++m) ForwardUses(m);
    for (int32_t m = 0; m < k_; ++m) SavedUses(m);
    for (int32_t m = 0; m < k_; ++m) RecomputeUses(m);
    for (int32_t m = 0; m < k_; ++m) GradientUses(m);
    for (int32_t i = 0; i < f_.size(); ++i) ParameterUses(i);
    builder_.graph.name = f_.name;
    builder_.graph.persistent_memory = f_.persistent_memory;
    builder_.graph.devices_hint = f_.devices_hint;
    builder_.graph.memory_hint = f_.memory_hint;
    Graph graph = builder_.Build();
    origin_->sum_of_tensor = std::move(sum_of_tensor_);
    origin_->sum_of_tensor.resize(graph.tensors.size(), -1);
    graph.step = std::move(origin_);
    return graph;
  }

 private:
  // Which operators have a backward pass, and which are computed from parameters alone.
  void Classify() {
    const bool none =
        std::all_of(f_.ops.begin(), f_.ops.end(), [](const Op& op) { return op.perm == 0; });
    backward_.assign(f_.size(), 0);
    once_.assign(f_.size(), 0);
    parameter_.assign(f_.size(), 0);
    for (int32_t i : TopologicalOrder(f_.edges, f_.out_begin)) {
      const Op& op = f_.ops[i];
      const auto inputs = f_.InEdges(i);
      const int64_t out = std::accumulate(op.out.begin(), op.out.end(), int64_t{0});
      const bool in_outputs = f_.persistent_memory == PersistentMemory::kInOutputs;
      parameter_[i] = inputs.empty() && op.perm > 0 && (in_outputs || out == op.perm);
      once_[i] = inputs.empty() ? parameter_[i] : 1;
      backward_[i] = none || op.perm > 0 || op.bwd_us.value_or(0) > 0;
      for (int32_t e : inputs) {
        const int32_t h = f_.edges[e].src;
        if (!once_[h]) once_[i] = 0;
        if (backward_[h] && CarriesData(e)) backward_[i] = 1;
      }
    }
  }

  // Which tensors are dropped with their segment, and which operators run again to restore them.
  void PlanRecomputation() {
    segment_.assign(f_.size(), -1);
    again_.assign(f_.size(), 0);
    inside_.assign(f_.tensors.size(), 0);
    if (options_.recompute.empty()) return;
    for (size_t s = 0; s < options_.recompute.size(); ++s) {
      for (int32_t i : options_.recompute[s]) {
        if (backward_[i] && !once_[i]) segment_[i] = static_cast<int32_t>(s);
      }
    }
    FindInside();
    const std::vector<int32_t> order = TopologicalOrder(f_.edges, f_.out_begin);
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      if (segment_[*at] >= 0) again_[*at] = RunsAgain(*at);
    }
  }

  void FindInside() {
    std::fill(inside_.begin(), inside_.end(), 1);
    std::vector<uint8_t> sends(options_.recompute.size(), 0);  // something out of the segment
    for (size_t e = 0; e < f_.edges.size(); ++e) {
      const auto [i, j] = f_.edges[e];
      for (int32_t t : f_.TensorsOf(static_cast<int32_t>(e))) {
        if (f_.tensors[t].control || segment_[i] == segment_[j]) continue;
        inside_[t] = 0;
        if (segment_[i] >= 0) sends[segment_[i]] = 1;
      }
    }
    for (int32_t& s : segment_) {
      if (s >= 0 && !sends[s]) s = -1;  // no gradient would start it again
    }
    for (size_t t = 0; t < f_.tensors.size(); ++t) {
      if (f_.tensors[t].control || segment_[f_.tensors[t].producer] < 0) inside_[t] = 0;
    }
  }

  // Whether an output that the backward pass or later operators of the segment need was dropped.
  bool RunsAgain(int32_t i) const {
    const Op& op = f_.ops[i];
    for (size_t port = 0; port < op.out.size(); ++port) {
      if ((op.saved.empty() || op.saved[port]) && !IsRead(i, port)) return true;
    }
    for (int32_t e = f_.out_begin[i]; e < f_.out_begin[i + 1]; ++e) {
      for (int32_t t : f_.TensorsOf(e)) {
        if (inside_[t] && (Saved(t) || again_[f_.edges[e].dst])) return true;
      }
    }
    return false;
  }

  // Whether operator i is one of the first of its segment to run again.
  bool StartsAgain(int32_t i) const {
    for (int32_t e : f_.InEdges(i)) {
      for (int32_t t : f_.TensorsOf(e)) {
        if (inside_[t]) return false;
      }
    }
    return again_[i];
  }

  bool CarriesData(int32_t edge) const {
    const auto tensors = f_.TensorsOf(edge);
    return std::any_of(tensors.begin(), tensors.end(),
                       [&](int32_t t) { return !f_.tensors[t].control; });
  }

  bool Runs(int32_t i, int32_t m) const { return m == 0 || !once_[i]; }
  // What an operator of the forward graph is in micro-batch m.
  int32_t Forward(int32_t i, int32_t m) const { return forward_id_[once_[i] ? 0 : m][i]; }
  int32_t Backward(int32_t i, int32_t m) const { return backward_id_[once_[i] ? 0 : m][i]; }
  int32_t Again(int32_t i, int32_t m) const { return again_id_[m][i]; }
  const std::string& NameOf(int32_t op) const { return builder_.graph.ops[op].name; }

  int64_t Bytes(int32_t producer, int64_t bytes) const {
    return once_[producer] ? bytes : (bytes + k_ - 1) / k_;
  }
  double Stated(int32_t producer, double us) const {
    return us < 0 || once_[producer] ? us : us / k_;
  }
  double Part(int32_t i, double us) const {
    const double launch = options_.launch_us;
    return once_[i] || us <= launch ? us : launch + (us - launch) / k_;
  }

  void AddOperators() {
    forward_id_.assign(k_, std::vector<int32_t>(f_.size(), -1));
    backward_id_ = forward_id_;
    again_id_ = forward_id_;
    update_id_.assign(f_.size(), -1);
    for (int32_t m = 0; m < k_; ++m) {
      for (int32_t i = 0; i < f_.size(); ++i) {
        if (Runs(i, m)) forward_id_[m][i] = Add(ForwardOp(i, m), {i, StepKind::kForward, m});
      }
    }
    for (int32_t m = 0; m < k_; ++m) {
      for (int32_t i = 0; i < f_.size(); ++i) {
        if (backward_[i] && Runs(i, m))
          backward_id_[m][i] = Add(BackwardOp(i, m), {i, StepKind::kBackward, m});
      }
    }
    for (int32_t m = 0; m < k_; ++m) {
      for (int32_t i = 0; i < f_.size(); ++i) {
        if (again_[i]) again_id_[m][i] = Add(RecomputeOp(i, m), {i, StepKind::kRecompute, m});
      }
    }
    if (options_.optimizer == Optimizer::kNone) return;
    for (int32_t i = 0; i < f_.size(); ++i) {
      if (f_.ops[i].perm > 0) update_id_[i] = Add(UpdateOp(i), {i, StepKind::kUpdate, 0});
    }
  }

  int32_t Add(Op op, StepOp what) {
    what.once = once_[what.forward] || what.kind == StepKind::kUpdate;
    op.expert = f_.ops[what.forward].expert;
    origin_->ops.push_back(what);
    return builder_.AddOp(std::move(op),
                          fmt::format("{} of ops[{}]", Name(what.kind), what.forward));
  }

  std::string CopyName(int32_t i, int32_t m) const {
    return m == 0 ? f_.ops[i].name : fmt::format("{} #{}", f_.ops[i].name, m + 1);
  }

  Op ForwardOp(int32_t i, int32_t m) const {
    const Op& op = f_.ops[i];
    Op copy{.name = CopyName(i, m), .type = op.type, .us = Part(i, op.us)};
    for (double us : op.us_on) copy.us_on.push_back(Part(i, us));
    if (m == 0) {
      copy.perm = op.perm;
      copy.perm_is_output = op.perm_is_output;
    }
    copy.temp = Bytes(i, op.temp);
    for (int64_t out : op.out) copy.out.push_back(Bytes(i, out));
    return copy;
  }

  Op RecomputeOp(int32_t i, int32_t m) const {
    Op op = ForwardOp(i, m);
    op.name += " recompute";
    op.perm = 0;
    op.perm_is_output = false;
    return op;
  }

  double BackwardUs(int32_t i) const {
    const Op& op = f_.ops[i];
    if (op.bwd_us) return *op.bwd_us;
    return op.us *
           options_.backward_ratio.value_or(IsDense(op.type) ? kDenseBackward : kOtherBackward);
  }

  // Outputs: gradients of the inputs in the order of the edges, then that of the parameters.
  Op BackwardOp(int32_t i, int32_t m) const {
    const Op& op = f_.ops[i];
    const double us = BackwardUs(i);
    Op backward{.name = CopyName(i, m) + " backward", .type = op.type, .us = Part(i, us)};
    for (double on : op.us_on) backward.us_on.push_back(Part(i, op.us > 0 ? us * on / op.us : us));
    backward.temp = Bytes(i, op.temp);
    for (int32_t e : f_.InEdges(i)) {
      const int32_t h = f_.edges[e].src;
      if (!backward_[h]) continue;
      for (int32_t t : f_.TensorsOf(e)) {
        if (!f_.tensors[t].control) backward.out.push_back(Bytes(h, f_.tensors[t].bytes));
      }
    }
    if (!HasOwnGradient(i)) return backward;
    if (m == 0) {
      backward.out.push_back(op.perm);
    } else {
      backward.temp += op.perm;  // made, and added to that of the first micro-batch
    }
    return backward;
  }

  // A variable's gradient is the sum of those of its output; other operators make their own.
  bool HasOwnGradient(int32_t i) const { return f_.ops[i].perm > 0 && !parameter_[i]; }

  Op UpdateOp(int32_t i) const {
    const Op& op = f_.ops[i];
    const double traffic = UpdateTraffic(options_.optimizer);
    const double us = op.update_us ? *op.update_us * traffic / UpdateTraffic(Optimizer::kSgd)
                                   : traffic * static_cast<double>(op.perm) /
                                         (options_.bandwidth_gb_per_s * 1000);
    return {.name = op.name + " update",
            .type = "update",
            .us = us,
            .us_on = std::vector<double>(op.us_on.size(), us)};
  }

  // ---- tensors ----

  void Use(int32_t src, int32_t dst, const std::string& tensor, int64_t bytes, double us,
           int32_t sum = -1) {
    const size_t known = builder_.graph.tensors.size();
    builder_.AddUse(src, dst, tensor, static_cast<double>(bytes), us, "training step");
    if (builder_.graph.tensors.size() > known) sum_of_tensor_.push_back(sum);
  }

  // Only between operators of one device: nothing is sent.
  void Control(int32_t src, int32_t dst) { Use(src, dst, "^" + NameOf(src) + " done", 0, -1); }

  // The use of tensor t of the forward graph in micro-batch m by an operator of the step.
  void UseForward(int32_t t, int32_t m, int32_t dst) {
    const Tensor& tensor = f_.tensors[t];
    const int32_t src = Forward(tensor.producer, m);
    if (tensor.control) {
      Use(src, dst, "^" + NameOf(src), tensor.bytes, tensor.us);
    } else {
      const std::string name = tensor.port >= 0 ? fmt::format("{}:{}", NameOf(src), tensor.port)
                               : (m == 0 || once_[tensor.producer])
                                   ? f_.tensor_names[t]
                                   : fmt::format("{} #{}", f_.tensor_names[t], m + 1);
      Use(src, dst, name, Bytes(tensor.producer, tensor.bytes), Stated(tensor.producer, tensor.us));
    }
  }

  // The use of tensor t by an operator that runs after the gradients came: of what was kept, or
  // computed again.
  void UseRestored(int32_t t, int32_t m, int32_t dst) {
    const Tensor& tensor = f_.tensors[t];
    if (!inside_[t]) return UseForward(t, m, dst);
    const int32_t src = Again(tensor.producer, m);
    const std::string name = tensor.port >= 0
                                 ? fmt::format("{}:{}", NameOf(src), tensor.port)
                                 : fmt::format("{} #{} recompute", f_.tensor_names[t], m + 1);
    Use(src, dst, name, Bytes(tensor.producer, tensor.bytes), Stated(tensor.producer, tensor.us));
  }

  void RecomputeUses(int32_t m) {
    for (int32_t i = 0; i < f_.size(); ++i) {
      if (!again_[i]) continue;
      for (int32_t e : f_.InEdges(i)) {
        for (int32_t t : f_.TensorsOf(e)) {
          if (!f_.tensors[t].control) UseRestored(t, m, Again(i, m));
        }
      }
    }
  }

  void ForwardUses(int32_t m) {
    for (size_t e = 0; e < f_.edges.size(); ++e) {
      const int32_t dst = f_.edges[e].dst;
      if (!Runs(dst, m)) continue;
      for (int32_t t : f_.TensorsOf(static_cast<int32_t>(e))) UseForward(t, m, Forward(dst, m));
    }
  }

  bool Saved(int32_t t) const {
    const Tensor& tensor = f_.tensors[t];
    if (tensor.control) return false;
    const Op& op = f_.ops[tensor.producer];
    return tensor.port < 0 || op.saved.empty() || op.saved[tensor.port];
  }

  // A backward operator follows its forward one, and reads what was saved of its inputs and
  // outputs.
  void SavedUses(int32_t m) {
    for (int32_t i = 0; i < f_.size(); ++i) {
      if (!backward_[i] || !Runs(i, m)) continue;
      const int32_t forward = Forward(i, m), backward = Backward(i, m);
      Control(forward, backward);
      std::vector<uint8_t> port_read(f_.ops[i].out.size(), 0);
      for (int32_t e = f_.out_begin[i]; e < f_.out_begin[i + 1]; ++e) {
        for (int32_t t : f_.TensorsOf(e)) {
          if (!Saved(t)) continue;
          UseRestored(t, m, backward);
          if (f_.tensors[t].port >= 0) port_read[f_.tensors[t].port] = 1;
        }
      }
      for (size_t port = 0; port < port_read.size(); ++port) {  // outputs that nobody reads
        const Op& op = f_.ops[i];
        if (port_read[port] || !(op.saved.empty() || op.saved[port]) || IsRead(i, port)) continue;
        const int32_t src = again_[i] ? Again(i, m) : forward;
        Use(src, backward, fmt::format("{}:{}", NameOf(src), port), Bytes(i, op.out[port]), -1);
      }
      for (int32_t e : f_.InEdges(i)) {
        for (int32_t t : f_.TensorsOf(e)) {
          if (Saved(t)) UseRestored(t, m, backward);
        }
      }
    }
  }

  bool IsRead(int32_t i, size_t port) const {
    for (int32_t e = f_.out_begin[i]; e < f_.out_begin[i + 1]; ++e) {
      for (int32_t t : f_.TensorsOf(e)) {
        if (f_.tensors[t].port == static_cast<int32_t>(port)) return true;
      }
    }
    return false;
  }

  void GradientUses(int32_t m) {
    for (int32_t j = 0; j < f_.size(); ++j) {
      if (!backward_[j] || !Runs(j, m)) continue;
      const int32_t src = Backward(j, m);
      int32_t port = 0;
      for (int32_t e : f_.InEdges(j)) {
        const int32_t i = f_.edges[e].src;
        if (!backward_[i]) continue;
        for (int32_t t : f_.TensorsOf(e)) {
          const Tensor& tensor = f_.tensors[t];
          if (tensor.control) continue;
          const std::string name = fmt::format("{}:{}", NameOf(src), port++);
          const int64_t bytes = Bytes(i, tensor.bytes);
          const double us = Stated(i, tensor.us);
          Use(src, Backward(i, m), name, bytes, us, Sum(t, m));
          if (parameter_[i] && update_id_[i] >= 0) Use(src, update_id_[i], name, bytes, us);
          if (segment_[i] < 0 || segment_[i] == segment_[j]) continue;
          for (int32_t first : options_.recompute[segment_[i]]) {
            if (segment_[first] == segment_[i] && StartsAgain(first))
              Use(src, Again(first, m), name, bytes, us);
          }
        }
      }
    }
  }

  // The sum of the gradients of tensor t in micro-batch m, or in all where it exists once.
  int32_t Sum(int32_t t, int32_t m) {
    if (sum_of_.empty()) sum_of_.assign(f_.tensors.size() * k_, -1);
    const int32_t at = once_[f_.tensors[t].producer] ? 0 : m;
    int32_t& sum = sum_of_[f_.tensors.size() * at + t];
    if (sum < 0) sum = origin_->sums++;
    return sum;
  }

  // The gradient of the parameters is made by the first micro-batch; others add to it, and the
  // update waits for all.
  void ParameterUses(int32_t i) {
    const int32_t update = update_id_[i];
    if (f_.ops[i].perm == 0) return;
    const int32_t first = backward_id_[0][i];
    const int32_t port = static_cast<int32_t>(builder_.graph.ops[first].out.size()) - 1;
    for (int32_t m = 1; m < k_ && !once_[i]; ++m) {
      const int32_t next = backward_id_[m][i];
      Use(first, next, fmt::format("{}:{}", NameOf(first), port), f_.ops[i].perm, -1);
      if (update >= 0) Control(next, update);
    }
    if (update < 0) return;
    if (HasOwnGradient(i)) {
      Use(first, update, fmt::format("{}:{}", NameOf(first), port), f_.ops[i].perm, -1);
    } else {
      Control(first, update);
    }
  }

  const Graph& f_;
  const StepOptions& options_;
  const int32_t k_;
  GraphBuilder builder_;
  std::shared_ptr<StepOrigin> origin_;
  std::vector<uint8_t> backward_;   // has a backward pass
  std::vector<uint8_t> once_;       // computed from parameters alone
  std::vector<uint8_t> parameter_;  // a variable: its outputs are its parameters
  std::vector<int32_t> segment_;    // to recompute, of each operator, or -1
  std::vector<uint8_t> again_;      // runs again
  std::vector<uint8_t> inside_;     // of each tensor: read in its own segment only
  std::vector<std::vector<int32_t>> forward_id_, backward_id_,
      again_id_;  // [micro-batch][operator]
  std::vector<int32_t> update_id_;
  std::vector<int32_t> sum_of_tensor_, sum_of_;
};

}  // namespace

const char* Name(StepKind kind) {
  constexpr const char* kNames[] = {"forward", "backward", "update", "recompute"};
  return kNames[static_cast<int>(kind)];
}

bool IsDense(const std::string& type) {
  std::string lower;
  for (char c : type) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr const char* kDense[] = {"conv", "matmul", "gemm", "linear", "dense", "addmm",
                                    "bmm",  "einsum", "lstm", "gru",    "rnn",   "attention"};
  return std::any_of(std::begin(kDense), std::end(kDense),
                     [&](const char* word) { return lower.find(word) != std::string::npos; });
}

double UpdateTraffic(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::kNone:
      return 0;
    case Optimizer::kSgd:
      return 3;
    case Optimizer::kMomentum:
      return 5;
    case Optimizer::kAdam:
      return 7;
  }
  return 0;
}

Graph BuildTrainingStep(const Graph& forward, const StepOptions& options) {
  return StepBuilder(forward, options).Build();
}

std::vector<int32_t> LiftToStep(const StepOrigin& step, const std::vector<int32_t>& of_forward) {
  std::vector<int32_t> lifted;
  lifted.reserve(step.ops.size());
  for (const StepOp& op : step.ops) lifted.push_back(of_forward[op.forward]);
  return lifted;
}

std::vector<int32_t> LowerToForward(const StepOrigin& step, const std::vector<int32_t>& of_step) {
  std::vector<int32_t> lowered(step.forward.size(), -1);
  for (size_t s = 0; s < of_step.size(); ++s) lowered[step.ops[s].forward] = of_step[s];
  return lowered;
}

}  // namespace orchard::place
