#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace espalier {

/// Threads that wait for short parallel loops. One pool serves the whole process, so that two
/// sessions never have more threads running than the larger of them asked for: a loop that finds
/// the pool taken by another caller runs on the calling thread alone.
class ThreadPool {
 public:
  /// The process's pool. Threads are started when a loop first asks for them.
  static ThreadPool& Shared();

  ThreadPool();
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// Calls body(i) once for each i in [0, count) on up to `threads` threads, the caller's among
  /// them, and returns when all are done. All i with the same i % threads run on one thread, one
  /// after the other: give as many indices as threads for a static split. Which thread that is may
  /// change: the caller takes over what the others have not begun when its own share is done. A
  /// loop inside a loop runs on its own thread alone.
  /// @param body  Must not throw.
  /// @cost  About a microsecond when the threads are still waiting for work, no allocation.
  template <typename Body>
  void Run(int threads, std::size_t count, const Body& body) {
    RunErased(threads, count, &CallBody<Body>, &body);
  }

 private:
  using Call = void (*)(const void* body, std::size_t index);
  template <typename Body>
  static void CallBody(const void* body, std::size_t index) {
    (*static_cast<const Body*>(body))(index);
  }
  void RunErased(int threads, std::size_t count, Call call, const void* body);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
