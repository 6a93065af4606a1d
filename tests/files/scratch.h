// A private mount namespace with a scratch directory, overlays and tmpfs in it, and a file copy between two trees.
#pragma once

#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "files/compare.h"
#include "files/receiver.h"
#include "files/source.h"

namespace godwit::files {

// A tmpfs directory of this test's own; everything below is unmounted and removed at the end.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return base_ + "/" + name; }
  std::string directory(const std::string& name) const;
  std::string tmpfs(const std::string& name, const std::string& options = "") const;

 private:
  std::string base_;
};

// lower, upper and work on the scratch tmpfs, mounted on merged once mount() is called.
struct Overlay {
  explicit Overlay(const Scratch& scratch, const std::string& name = "overlay");
  void mount() const;
  std::string lower, upper, work, merged;
};

// One end of a socket pair; waits at most 30 seconds.
class SocketStream final : public os::ByteStream {
 public:
  explicit SocketStream(UniqueFd fd);
  Result<> write(const void* data, size_t size) override;
  Result<> read_exact(void* data, size_t size) override;
  void close() { ::shutdown(fd_.get(), SHUT_RDWR); }

 private:
  UniqueFd fd_;
};
std::pair<std::unique_ptr<SocketStream>, std::unique_ptr<SocketStream>> make_streams();

// A FileSource and, in a thread, its FileReceiver.
class Copy {
 public:
  Copy(std::vector<SourceRoot> roots, const std::vector<DestinationRoot>& destinations,
       const SourceOptions& options = {}, const ReceiverOptions& receiver_options = {});
  ~Copy();
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  FileSource& source() { return *source_; }
  // The passes, which must succeed.
  PassStats first(const std::vector<FileInUse>& in_use = {});
  PassStats next();
  PassStats final(const std::vector<FileInUse>& in_use = {});
  // What the receiver ended with, once the source is done.
  Result<AppliedPass> receiver_end();

 private:
  std::unique_ptr<SocketStream> source_stream_;
  std::unique_ptr<SocketStream> receiver_stream_;
  std::unique_ptr<FileSource> source_;
  std::unique_ptr<FileReceiver> receiver_;
  Result<AppliedPass> receiver_end_;
  std::thread thread_;
};

void write_file(const std::string& path, std::string_view text);
std::string read_file(const std::string& path);
// Empty if equal, else the differences, a line each.
std::string differences(const std::string& left, const std::string& right, RootKind kind = RootKind::plain);

inline Deadline soon() {
  return Deadline::after(std::chrono::seconds(60));
}

}  // namespace godwit::files
