// The process's part in an MPI job: start, end, the watch over the other ranks, and the thread for
// asynchronous work. Private to the MPI engine; the only header with mpi.h in it.
#pragma once

// Without the C++ bindings of old, which would need one more library.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace orchard::comm {

// Throws PeerError with MPI's own words unless `code` is MPI_SUCCESS.
void CheckMpi(int code, const char* what);

class MpiSession {
 public:
  // Initialises MPI on the first call. One per process, because MPI is: it can be started once, and
  // is ended at exit.
  static MpiSession& Get();
  ~MpiSession();

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Runs `work` (all MPI calls of one collective) after everything submitted before it, on this
  // thread.
  void Run(const std::function<void()>& work);
  // The same on the worker thread. The future carries its exception.
  std::future<void> Submit(std::function<void()> work);

  // Polls until `request` is done. Only inside work. Throws PeerError when a peer has failed.
  void Complete(MPI_Request request, const char* what);

  // This rank has failed: the process will end with `code`.
  void SetFailed(ExitCode code);

 private:
  MpiSession();
  void WatchPeers();  // learns the process ids of the ranks on this machine
  void CheckPeers();  // throws PeerError when one has failed
  void Work();        // body of the worker thread
  void StopWorker();
  void EndFailedJob();

  int rank_ = 0, size_ = 1;
  bool threads_ = false;  // MPI allows calls from the worker thread
  MPI_Comm control_ = MPI_COMM_NULL;
  MPI_Request announcement_ = MPI_REQUEST_NULL;
  int announced_ = 0;                       // exit code that a failing rank sends
  std::string failure_;                     // set once: why no collective can work any more
  bool killed_ = false;                     // a peer is gone without an announcement
  int exit_code_ = 0;                       // of this rank; not 0 after SetFailed
  std::vector<std::pair<int, int>> peers_;  // rank, pidfd

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<void()>> queue_;
  bool busy_ = false, stop_ = false;
  std::thread worker_;
};

}  // namespace orchard::comm
