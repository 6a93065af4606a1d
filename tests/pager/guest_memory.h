// A guest's memory and what it must contain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "contents.h"

namespace godwit::pager_test {

struct PageModel {
  uint64_t tag = 0;
  bool patched = false;  // one word was overwritten
  uint64_t patch = 0;
};
constexpr uint64_t patched_word = 77;

// A piece of one mapping.
struct Extent {
  std::byte* at = nullptr;
  std::vector<PageModel> pages;

  [[nodiscard]] std::byte* address(size_t index) const { return at + index * page; }
};

// Ends the process with a message on standard error unless `condition` holds; errno is added.
void require(bool condition, const char* what);
// Every byte of pages [first, last).
void check(const Extent& extent, size_t first, size_t last);

// What one thread does to memory that is its own. Deterministic but for where the kernel puts things.
class Arena {
 public:
  Arena(std::vector<Extent> extents, uint64_t seed) : extents_(std::move(extents)), random_(seed) {}

  void act();
  void check_all() const;
  // In a child of fork(): checks, changes, checks; may fork again.
  [[noreturn]] void live_as_child(int depth);
  // Waits for children; ends the process if one failed.
  void reap(size_t outstanding_max);
  // Also checked by children: memory that nobody changes, and memory that a child must find empty.
  void set_common(const std::vector<Extent>* constant, const std::vector<Extent>* wiped) {
    constant_ = constant;
    wiped_ = wiped;
  }
  int depth = 0;

 private:
  struct Part {
    size_t extent = 0;
    size_t first = 0;
    size_t last = 0;
  };
  Part pick();
  Extent take(const Part& part);
  uint64_t dice(uint64_t sides) { return random_() % sides; }

  void write(const Part& part);
  void patch(const Part& part);
  void read_into(const Part& part);
  void drop(const Part& part);
  void unmap(const Part& part);
  void replace(const Part& part);
  void split(const Part& part);
  void protect(const Part& part);
  void grow_and_move(const Part& part);
  void move_onto(const Part& part);
  void shrink(const Part& part);
  void fork_child();

  std::vector<Extent> extents_;
  std::mt19937_64 random_;
  std::vector<int> children_;
  const std::vector<Extent>* constant_ = nullptr;
  const std::vector<Extent>* wiped_ = nullptr;
};

}  // namespace godwit::pager_test
