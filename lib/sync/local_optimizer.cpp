#include "sync/local_optimizer.h"

#include <cmath>

#include "sync/pieces.h"

namespace orchard::sync {
namespace {

StepRule RuleOf(const AlgorithmOptions& o) {
  switch (o.base) {
    case BaseOptimizer::kSgd:
      return o.nag == MomentumRule::kNesterov    ? StepRule::kNesterov
             : o.nag == MomentumRule::kHeavyBall ? StepRule::kHeavyBall
                                                 : StepRule::kRelease;
    case BaseOptimizer::kAdam:
      return StepRule::kAdam;
    case BaseOptimizer::kAdamW:
      return StepRule::kAdamW;
    case BaseOptimizer::kLion:
      return StepRule::kLion;
    case BaseOptimizer::kLamb:
      return StepRule::kGiven;
  }
  return StepRule::kNesterov;
}

bool HasSecondMoment(BaseOptimizer base) {
  return base == BaseOptimizer::kAdam || base == BaseOptimizer::kAdamW ||
         base == BaseOptimizer::kLamb;
}

}  // namespace

template <class T>
LocalOptimizer<T>::LocalOptimizer(const AlgorithmOptions& options, const ArenaLayout& layout,
                                  const Device& device)
    : options_(options),
      layout_(layout),
      rule_(RuleOf(options)),
      momentum_(layout.size(), device.arenas()) {
  if (HasSecondMoment(options.base)) {
    second_moment_ = FlatBuffer<T>(layout.size(), device.arenas());
  }
}

template <class T>
StepScalars<T> LocalOptimizer<T>::Scalars(const StepInput<T>& in) const {
  StepScalars<T> s;
  s.learning_rate = static_cast<T>(in.learning_rate);
  s.weight_decay = static_cast<T>(options_.weight_decay);
  s.gradient_scale = static_cast<T>(in.gradient_scale);
  if (options_.base == BaseOptimizer::kSgd) {
    s.momentum = static_cast<T>(options_.momentum);
    return s;
  }
  const double beta1 = options_.beta1;
  const double beta2 =
      options_.beta2.value_or(options_.base == BaseOptimizer::kLion ? 0.99 : 0.999);
  const auto step = static_cast<double>(in.step);
  s.momentum = static_cast<T>(beta1);
  s.one_minus_beta1 = static_cast<T>(1 - beta1);
  s.beta2 = static_cast<T>(beta2);
  s.one_minus_beta2 = static_cast<T>(1 - beta2);
  s.inverse_root_correction = static_cast<T>(1 / std::sqrt(1 - std::pow(beta2, step)));
  s.epsilon = static_cast<T>(options_.epsilon);
  const double rate = options_.base == BaseOptimizer::kLamb ? 1 : in.learning_rate;
  s.step_size = static_cast<T>(rate / (1 - std::pow(beta1, step)));
  return s;
}

template <class T>
void LocalOptimizer<T>::Prepare(const StepInput<T>& in, size_t slot) {
  if (!NeedsWholeTensors()) return;
  const Slot& s = layout_.slots()[slot];
  LambStep<T>(Scalars(in), s.count, in.gradient.data() + s.offset, in.values.data() + s.offset,
              momentum_.data() + s.offset, second_moment_.data() + s.offset);
}

template <class T>
UpdateArgs<T> LocalOptimizer<T>::Args(const StepInput<T>& in) const {
  UpdateArgs<T> args;
  args.rule = rule_;
  if (rule_ != StepRule::kGiven) args.scalars = Scalars(in);
  args.gradient = in.gradient.data();
  args.values = in.values.data();
  args.momentum = momentum_.data();
  args.second_moment = second_moment_.data();
  return args;
}

template <class T>
void LocalOptimizer<T>::MakeStep(const StepInput<T>& in, std::span<T> step) {
  for (size_t slot = 0; slot < layout_.slots().size(); ++slot) Prepare(in, slot);
  const std::vector<Piece> pieces = PiecesOf(Range{0, layout_.size()});
  UpdateArgs<T> args = Args(in);
  args.extra = step.data();
  args.pieces = pieces.data();
  args.piece_count = std::ssize(pieces);
  sync::MakeStep(args, in.pool);
}

template <class T>
void LocalOptimizer<T>::AddState(std::vector<StateBuffer<T>>& state) const {
  state.push_back({"momentum", momentum_.span()});
  if (second_moment_.size() > 0) state.push_back({"second_moment", second_moment_.span()});
}

template class LocalOptimizer<float>;
template class LocalOptimizer<double>;

}  // namespace orchard::sync
