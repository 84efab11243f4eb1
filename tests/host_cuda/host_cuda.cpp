// Coroutines for the threads of a block: each runs until it waits for others or ends.
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = 256 << 10, kShared = 256 << 10;

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Thread {
  ucontext_t context;
  State state = State::kReady;
  dim3 index;
  std::unique_ptr<unsigned char[]> stack = std::make_unique_for_overwrite<unsigned char[]>(kStack);
};

struct Warp {
  std::array<uint64_t, kWarp> given, taken;
};

std::vector<std::unique_ptr<Thread>> threads;  // kept from launch to launch
std::vector<Warp> warps;
unsigned count = 0, current = 0;
bool any_given = false, any_taken = false;
ucontext_t scheduler;
const std::function<void()>* running = nullptr;
alignas(256) unsigned char shared[kShared];

void Wait(State state) {
  threads[current]->state = state;
  swapcontext(&threads[current]->context, &scheduler);
}

void Body() {
  (*running)();
  warps[current / kWarp].given[current % kWarp] = 0;
  threads[current]->state = State::kDone;
}

bool AllAre(unsigned begin, unsigned end, State state) {
  bool some = false;
  for (unsigned t = begin; t < end; ++t) {
    if (threads[t]->state == State::kDone) continue;
    if (threads[t]->state != state) return false;
    some = true;
  }
  return some;
}

void MakeReady(unsigned begin, unsigned end) {
  for (unsigned t = begin; t < end; ++t)
    if (threads[t]->state != State::kDone) threads[t]->state = State::kReady;
}

// Lets those go on who have all arrived.
void Release() {
  bool released = false;
  for (unsigned begin = 0; begin < count; begin += kWarp) {
    const unsigned end = std::min(count, begin + kWarp);
    if (!AllAre(begin, end, State::kAtWarp)) continue;
    warps[begin / kWarp].taken = warps[begin / kWarp].given;
    MakeReady(begin, end);
    released = true;
  }
  if (released) return;
  if (AllAre(0, count, State::kAtBlock)) {
    any_taken = std::exchange(any_given, false);
    MakeReady(0, count);
    return;
  }
  std::fprintf(stderr, "threads of block (%u, %u, %u) wait at different places\n", blockIdx.x,
               blockIdx.y, blockIdx.z);
  std::abort();
}

void RunBlock() {
  std::fill_n(shared, kShared, static_cast<unsigned char>(0xFF));
  for (unsigned t = 0; t < count; ++t) {
    Thread& thread = *threads[t];
    thread.state = State::kReady;
    thread.index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = kStack;
    thread.context.uc_link = &scheduler;
    makecontext(&thread.context, Body, 0);
  }
  while (true) {
    bool ran = false, left = false;
    for (unsigned t = 0; t < count; ++t) {
      left = left || threads[t]->state != State::kDone;
      if (threads[t]->state != State::kReady) continue;
      current = t;
      threadIdx = threads[t]->index;
      swapcontext(&scheduler, &threads[t]->context);
      ran = true;
    }
    if (!left) return;
    if (!ran) Release();
  }
}

}  // namespace

void Launch(dim3 grid, dim3 block, const std::function<void()>& kernel) {
  gridDim = grid;
  blockDim = block;
  count = block.x * block.y * block.z;
  while (threads.size() < count) threads.push_back(std::make_unique<Thread>());
  warps.resize((count + kWarp - 1) / kWarp);
  running = &kernel;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        RunBlock();
      }
    }
  }
}

unsigned char* SharedMemory() { return shared; }

bool BlockBarrier(bool any) {
  any_given = any_given || any;
  Wait(State::kAtBlock);
  return any_taken;
}

int Lane() { return static_cast<int>(current % kWarp); }

uint64_t WarpExchange(uint64_t value, int from) {
  warps[current / kWarp].given[current % kWarp] = value;
  Wait(State::kAtWarp);
  return warps[current / kWarp].taken[static_cast<unsigned>(from) % kWarp];
}

uint32_t WarpBallot(bool value) {
  warps[current / kWarp].given[current % kWarp] = value ? 1 : 0;
  Wait(State::kAtWarp);
  uint32_t bits = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane)
    bits |= warps[current / kWarp].taken[lane] != 0 ? 1u << lane : 0u;
  return bits;
}

}  // namespace host_cuda
