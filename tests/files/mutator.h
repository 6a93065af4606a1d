// Changes a directory tree at random, the way programs do: a seed gives the same sequence of attempts.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace godwit::files {

// Used by one thread at a time. Operations that the kernel refuses are passed over.
class Mutator {
 public:
  Mutator(std::string root, uint64_t seed) : root_(std::move(root)), random_(seed) {}
  ~Mutator();
  Mutator(const Mutator&) = delete;
  Mutator& operator=(const Mutator&) = delete;
  void step();
  [[nodiscard]] uint64_t done() const { return done_; }

 private:
  struct Mapping {
    char* data;
    size_t size;
  };
  uint64_t below(uint64_t limit) { return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_); }
  std::string random_path();
  std::string random_bytes(size_t size);
  void write_somewhere(const std::string& path);
  void change_metadata(const std::string& path);
  void make_node(const std::string& path);
  void map_file(const std::string& path);
  void write_mapping();
  void remove(const std::string& path);
  void move(const std::string& from, const std::string& to);
  void note(bool succeeded) { done_ += succeeded ? 1 : 0; }

  std::string root_;
  std::mt19937_64 random_;
  std::vector<Mapping> mappings_;
  uint64_t done_ = 0;
};

}  // namespace godwit::files
