// A folder for one test's files.
#pragma once

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "os/file.h"

namespace godwit::kube {

class Scratch {
 public:
  Scratch() {
    std::string path = testing::TempDir() + "godwit-kube-XXXXXX";
    GODWIT_CHECK(::mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~Scratch() { (void)os::remove_tree(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  std::string write(const std::string& name, const std::string& text, unsigned mode = 0600) const {
    const std::string path = path_ + "/" + name;
    const Result<> written = os::write_file_atomic(path, text, mode);
    EXPECT_TRUE(written.has_value()) << written.error().message;
    return path;
  }

 private:
  std::string path_;
};

// Sets an environment variable for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name); before != nullptr) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before_.empty()) {
      ::unsetenv(name_);
    } else {
      ::setenv(name_, before_.c_str(), 1);
    }
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::string before_;
};

}  // namespace godwit::kube
