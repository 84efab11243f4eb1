// Fused update kernels on the CPU: each algorithm's step is one pass over the arena that also
// gathers what is to be sent, and a second pass over the selected part alone when the mean has
// arrived.
//
// Bytes per element in f32 (all are bound by memory): LocalStep 20 and 4/R more for the gather,
// SplitStep 28, ErrorFeedback 36, QsparseStep 32.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "sync/block_selector.h"
#include "sync/update_element.h"

namespace orchard::sync {

// What a kernel works on; arenas of one size. Those that a kernel does not use may be empty.
template <class T>
struct Arenas {
  std::span<T> values;          // x
  std::span<const T> gradient;  // g
  std::span<T> momentum;        // m
  std::span<T> error;           // e
  std::span<T> second;          // EF-SGD: w, the momentum of weight decay; QSparse: x of the last
                                // synchronisation
};

// In all of them `wire` receives the selected elements, run after run, and holds selection.count.
// `pool` null: on this thread. Results do not depend on the threads.

// x <- x - p; on the selection wire = x - p instead, and x waits for the mean. (K1)
template <class T>
void LocalStep(const StepScalars<T>& scalars, MomentumRule rule, const Arenas<T>& arenas,
               const Selection& selection, std::span<T> wire, ThreadPool* pool);

// x <- x - p and e <- e - p; on the selection wire = p instead. (K3)
template <class T>
void SplitStep(const StepScalars<T>& scalars, MomentumRule rule, const Arenas<T>& arenas,
               const Selection& selection, std::span<T> wire, ThreadPool* pool);

// Error feedback: e gathers the step, x takes weight decay; on the selection wire = e, e = 0. (K5)
template <class T>
void ErrorFeedback(const StepScalars<T>& scalars, const Arenas<T>& arenas,
                   const Selection& selection, std::span<T> wire, ThreadPool* pool);

// A local step that ends in a synchronisation of QSparse-local-SGD, with y the model of the last
// one: e <- e + (x - p) - y; then x = y, and on the selection wire = e, e = 0. (K5)
template <class T>
void QsparseStep(const StepScalars<T>& scalars, MomentumRule rule, const Arenas<T>& arenas,
                 const Selection& selection, std::span<T> wire, ThreadPool* pool);

// ---- on the selection alone

// wire = values
template <class T>
void Gather(std::span<const T> values, const Selection& selection, std::span<T> wire);
// values = wire * scale (K2)
template <class T>
void Scatter(std::span<const T> wire, T scale, const Selection& selection, std::span<T> values);
// values += wire * scale
template <class T>
void ScatterAdd(std::span<const T> wire, T scale, const Selection& selection, std::span<T> values);
// x += wire * scale - e; e = 0 (K4)
template <class T>
void ResetError(std::span<const T> wire, T scale, const Selection& selection, std::span<T> values,
                std::span<T> error);

// ---- whole arenas, for compressors without a common support

// p = step, written to `step`; m moves on.
template <class T>
void MakeStep(const StepScalars<T>& scalars, MomentumRule rule, const Arenas<T>& arenas,
              std::span<T> step, ThreadPool* pool);
// y += scale * x
template <class T>
void Axpy(T scale, std::span<const T> x, std::span<T> y);

}  // namespace orchard::sync
