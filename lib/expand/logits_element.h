// The arithmetic of comparing two models' logits, shared by cuda/expand/logits_compare.cu and its
// CPU twin. All in f64: what is measured may be as small as 1e-15.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace orchard::expand {

// What is known after some of the classes of a row, for logits a (source) and b (target). Sums of
// exponentials are relative to their largest term.
struct LogitsState {
  double largest_a = -INFINITY, sum_a = 0;
  double largest_b = -INFINITY, sum_b = 0;
  double weighted = 0;  // sum of exp(a - largest_a) (a - b)
  double max_difference = 0, max_logit = 0;
  int64_t top_a = -1, top_b = -1;
};

// exp(a - b) where both may be minus infinity.
ORCHARD_HD double ScaleTo(double a, double b) { return a == b ? 1.0 : exp(a - b); }

// The larger, or NaN when either is.
ORCHARD_HD double LargerOrNaN(double a, double b) { return a >= b || a != a ? a : b; }

ORCHARD_HD void AddClass(LogitsState& s, int64_t index, double a, double b) {
  if (a > s.largest_a) {
    const double scale = ScaleTo(s.largest_a, a);
    s.sum_a *= scale;
    s.weighted *= scale;
    s.largest_a = a;
    s.top_a = index;
  }
  if (b > s.largest_b) {
    s.sum_b *= ScaleTo(s.largest_b, b);
    s.largest_b = b;
    s.top_b = index;
  }
  const double difference = a == b ? 0.0 : a - b;
  const double e = ScaleTo(a, s.largest_a);
  if (a != -INFINITY) {  // a class that cannot be adds nothing, also where b differs infinitely
    s.sum_a += e;
    s.weighted += e * difference;
    s.max_logit = LargerOrNaN(a < 0 ? -a : a, s.max_logit);
  }
  if (b != -INFINITY) s.sum_b += ScaleTo(b, s.largest_b);
  s.max_difference = LargerOrNaN(difference < 0 ? -difference : difference, s.max_difference);
}

// Of equal logits the first class counts as the top one.
ORCHARD_HD LogitsState Merge(const LogitsState& x, const LogitsState& y) {
  LogitsState s;
  const bool a_of_x = x.largest_a > y.largest_a || (x.largest_a == y.largest_a && x.top_a >= 0 &&
                                                    (y.top_a < 0 || x.top_a < y.top_a));
  const bool b_of_x = x.largest_b > y.largest_b || (x.largest_b == y.largest_b && x.top_b >= 0 &&
                                                    (y.top_b < 0 || x.top_b < y.top_b));
  s.largest_a = a_of_x ? x.largest_a : y.largest_a;
  s.largest_b = b_of_x ? x.largest_b : y.largest_b;
  s.top_a = a_of_x ? x.top_a : y.top_a;
  s.top_b = b_of_x ? x.top_b : y.top_b;
  const double xa = ScaleTo(x.largest_a, s.largest_a), ya = ScaleTo(y.largest_a, s.largest_a);
  s.sum_a = x.sum_a * xa + y.sum_a * ya;
  s.weighted = x.weighted * xa + y.weighted * ya;
  s.sum_b =
      x.sum_b * ScaleTo(x.largest_b, s.largest_b) + y.sum_b * ScaleTo(y.largest_b, s.largest_b);
  s.max_difference = LargerOrNaN(x.max_difference, y.max_difference);
  s.max_logit = LargerOrNaN(x.max_logit, y.max_logit);
  return s;
}

// KL(softmax a || softmax b) in nats; rounding may leave it a little below zero, which is cut off.
ORCHARD_HD double KullbackLeibler(const LogitsState& s) {
  const double kl = s.weighted / s.sum_a - (s.largest_a - s.largest_b) - log(s.sum_a / s.sum_b);
  return kl < 0 ? 0.0 : kl;
}

}  // namespace orchard::expand
