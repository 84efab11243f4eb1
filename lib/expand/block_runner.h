// What carries out one op, block by block: one per kind of op (expand/tensor_runner.h picks).
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace orchard::expand {

class BlockRunner {
 public:
  virtual ~BlockRunner() = default;

  // Units [begin, end): in `room`, which has room for exactly their bytes, or where the source
  // holds the same bytes already. Any thread.
  virtual std::span<const std::byte> Block(int64_t begin, int64_t end,
                                           std::span<std::byte> room) = 0;

  // Largest relative difference between a stored value and what it stands for, so far.
  double largest_rounding() const { return largest_rounding_.load(); }

 protected:
  void NoteRounding(double exact, double stored) {
    if (exact == 0 || !std::isfinite(exact)) return;
    const double relative = std::abs(stored - exact) / std::abs(exact);
    double seen = largest_rounding_.load();
    while (relative > seen && !largest_rounding_.compare_exchange_weak(seen, relative)) {
    }
  }

 private:
  std::atomic<double> largest_rounding_ = 0;
};

}  // namespace orchard::expand
