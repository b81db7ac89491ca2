#include "espalier/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace espalier {
namespace {

// About 50 us: the pause between two layers of a network. Then a thread sleeps.
constexpr int kSpins = 2000;
constexpr int kMaxThreads = 256;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool in_loop = false;

}  // namespace

struct ThreadPool::Impl {
  // A share of a loop is offered as an even ticket; whoever makes it odd runs the share. So a
  // caller that is done with its own takes over those of threads that the system has not let run
  // yet: on a busy machine each would otherwise cost a scheduler's slice of some milliseconds.
  struct Worker {
    std::atomic<unsigned> ticket{1};
    std::thread thread;

    void Offer() {
      ticket.fetch_add(1, std::memory_order_release);
      ticket.notify_one();
    }
    bool Take() {
      unsigned offered = ticket.load(std::memory_order_acquire);
      return offered % 2 == 0 &&
             ticket.compare_exchange_strong(offered, offered + 1, std::memory_order_acq_rel);
    }
  };

  std::mutex owner;  // held by the caller whose loop runs
  std::vector<std::unique_ptr<Worker>> workers;
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> running{0};

  // The loop; written before the shares are offered, and not again before all are done.
  Call call = nullptr;
  const void* body = nullptr;
  std::size_t count = 0;
  std::size_t stride = 1;

  void Share(std::size_t first) const {
    for (std::size_t i = first; i < count; i += stride) call(body, i);
  }

  void Work(Worker& self, std::size_t number) {
    in_loop = true;
    while (true) {
      unsigned ticket = self.ticket.load(std::memory_order_acquire);
      for (int i = 0; i < kSpins && ticket % 2 == 1; ++i) {
        Pause();
        ticket = self.ticket.load(std::memory_order_acquire);
      }
      if (ticket % 2 == 1) self.ticket.wait(ticket, std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      if (!self.Take()) continue;
      Share(number);
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) running.notify_one();
    }
  }

  // False if the system has no more threads to give.
  bool AddWorker() {
    workers.push_back(std::make_unique<Worker>());
    Worker& worker = *workers.back();
    const std::size_t number = workers.size();
    try {
      worker.thread = std::thread([this, &worker, number] { Work(worker, number); });
    } catch (const std::system_error&) {
      workers.pop_back();
      return false;
    }
    return true;
  }
};

ThreadPool& ThreadPool::Shared() {
  static ThreadPool pool;
  return pool;
}

ThreadPool::ThreadPool() : impl_(std::make_unique<Impl>()) {}

ThreadPool::~ThreadPool() {
  impl_->stop = true;
  for (const auto& worker : impl_->workers) {
    worker->Offer();
    worker->thread.join();
  }
}

void ThreadPool::RunErased(int threads, std::size_t count, Call call, const void* body) {
  Impl& impl = *impl_;
  const std::size_t wanted =
      std::min<std::size_t>(static_cast<std::size_t>(std::clamp(threads, 1, kMaxThreads)), count);
  const bool alone = wanted <= 1 || in_loop || !impl.owner.try_lock();
  if (alone) {
    for (std::size_t i = 0; i < count; ++i) call(body, i);
    return;
  }
  const std::lock_guard unlock(impl.owner, std::adopt_lock);
  while (impl.workers.size() + 1 < wanted && impl.AddWorker()) {
  }
  const std::size_t helpers = std::min(wanted - 1, impl.workers.size());
  impl.call = call;
  impl.body = body;
  impl.count = count;
  impl.stride = helpers + 1;
  impl.running.store(helpers, std::memory_order_relaxed);
  for (std::size_t i = 0; i < helpers; ++i) impl.workers[i]->Offer();
  in_loop = true;
  impl.Share(0);
  for (std::size_t i = 0; i < helpers; ++i) {
    if (!impl.workers[i]->Take()) continue;
    impl.Share(i + 1);
    impl.running.fetch_sub(1, std::memory_order_relaxed);
  }
  in_loop = false;
  for (int i = 0; i < kSpins && impl.running.load(std::memory_order_acquire) != 0; ++i) Pause();
  while (const std::size_t left = impl.running.load(std::memory_order_acquire)) {
    impl.running.wait(left, std::memory_order_acquire);
  }
}

}  // namespace espalier
