// A .tar.gz file, on libarchive.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kube/timestamp.h"

struct archive;

namespace godwit::plugin {

// Written beside its place and put there when it is whole. Used by one thread.
class ArchiveWriter {
 public:
  // The file is for its owner alone to read. Error: there is a file of this name already.
  static Result<ArchiveWriter> create(const std::string& path);
  ArchiveWriter(ArchiveWriter&&) = default;
  ArchiveWriter& operator=(ArchiveWriter&&) = delete;
  // Unfinished: nothing of it stays.
  ~ArchiveWriter();

  // A file in it; `name` is a relative path.
  Result<> add(const std::string& name, std::string_view contents, kube::WallTime when);
  Result<> finish();

 private:
  struct Free {
    void operator()(::archive* handle) const;
  };
  ArchiveWriter(std::string path, UniqueFd fd, std::unique_ptr<::archive, Free> handle)
      : path_(std::move(path)), fd_(std::move(fd)), handle_(std::move(handle)) {}
  [[nodiscard]] std::string part_path() const { return path_ + ".part"; }

  std::string path_;
  UniqueFd fd_;
  std::unique_ptr<::archive, Free> handle_;  // null when finished, or moved from
};

}  // namespace godwit::plugin
