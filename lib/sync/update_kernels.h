// Fused update kernels on the CPU: each algorithm's step is one pass over the arena that also
// gathers what is to be sent, and a second pass over the selected part alone when the mean has
// arrived. The arguments are also those of the CUDA launchers (cuda/sync/update_kernels.h); there
// the pointers are device pointers. C++17, because .cu files read it.
//
// Bytes per element in f32 with SGD (all are bound by memory): LocalStep 20 and 4/R more for the
// gather, SplitStep 28, ErrorFeedback 36, QsparseStep 32. Adam adds 8 for its second moment.
#pragma once

#include <cstdint>

#include "sync/update_element.h"

namespace orchard {
class ThreadPool;
}  // namespace orchard

namespace orchard::sync {

// A stretch of the arena, sent or not.
struct Piece {
  int64_t begin = 0, count = 0;
  int64_t wire = -1;  // where it goes in the message; -1: nowhere
};

// Elements of a piece, at most: a few arrays of them fit into a core's cache.
inline constexpr int64_t kPieceElements = 16384;

// What a kernel works on: arenas. Those that a kernel does not use may be null.
template <class T>
struct UpdateArgs {
  StepScalars<T> scalars;
  StepRule rule = StepRule::kNesterov;
  T theta = 1;  // part of the error at which gradients are taken
  const T* gradient = nullptr;
  T* values = nullptr;         // x
  T* momentum = nullptr;       // m
  T* second_moment = nullptr;  // v of Adam
  T* error = nullptr;          // e
  // EF-SGD: w, the momentum of weight decay; QSparse: y, x of the last synchronisation.
  T* extra = nullptr;
  T* wire = nullptr;  // the message
  const Piece* pieces = nullptr;
  int64_t piece_count = 0;
};

// All work on the given pieces alone. `pool` null: on this thread. Results do not depend on the
// threads, or on how an arena is cut into pieces.

// x <- x - p; on pieces that are sent wire = x - p instead, and x waits for the mean. (K1)
template <class T>
void LocalStep(const UpdateArgs<T>& args, ThreadPool* pool);

// x <- x - theta p and e <- e - p; on pieces that are sent wire = p instead. (K3)
template <class T>
void SplitStep(const UpdateArgs<T>& args, ThreadPool* pool);

// Error feedback: e gathers the step, x takes weight decay; on pieces that are sent wire = e,
// e = 0. SGD only. (K5)
template <class T>
void ErrorFeedback(const UpdateArgs<T>& args, ThreadPool* pool);

// A local step that ends in a synchronisation of QSparse-local-SGD: e <- e + (x - p) - y; then
// x = y, and on pieces that are sent wire = e, e = 0. (K5)
template <class T>
void QsparseStep(const UpdateArgs<T>& args, ThreadPool* pool);

// extra = step; moments move on. Pieces are all alike.
template <class T>
void MakeStep(const UpdateArgs<T>& args, ThreadPool* pool);

// ---- on what is sent alone; pieces with wire >= 0

template <class T>
struct MoveArgs {
  const Piece* pieces = nullptr;
  int64_t piece_count = 0;
  T* wire = nullptr;
  T* values = nullptr;
  T scale = 1;
};

// wire = values
template <class T>
void Gather(const MoveArgs<T>& args);
// wire = values; values = 0
template <class T>
void Take(const MoveArgs<T>& args);
// values = wire * scale (K2)
template <class T>
void Scatter(const MoveArgs<T>& args);
// values += wire * scale
template <class T>
void ScatterAdd(const MoveArgs<T>& args);
// values += wire * scale - theta error; error = 0 (K4)
template <class T>
void ResetError(const MoveArgs<T>& args, T theta, T* error);

// ---- plain vectors

// y += scale * x
template <class T>
void Axpy(T scale, const T* x, T* y, int64_t count);

// In place of the gradient of one tensor its step by LAMB: lr phi u with u = Adam's direction +
// lambda x and phi = |x| / |u| (1 where one of them is 0). Norms are summed in double.
template <class T>
void LambStep(const StepScalars<T>& scalars, int64_t count, T* gradient, const T* values, T* first,
              T* second);

}  // namespace orchard::sync
