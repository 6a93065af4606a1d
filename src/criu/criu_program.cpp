#include "criu/criu_program.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "criu/rpc.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::criu {
namespace {

constexpr int lock_number = 6;  // in criu
constexpr const char* install_hint = "install criu 4.2 or newer (Debian forky has it) on this node";

std::vector<std::string> search_directories() {
  std::vector<std::string> directories;
  const char* path = std::getenv("PATH");
  const std::string text = path == nullptr ? "" : path;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(':', start), text.size());
    directories.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  for (const char* usual : {"/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin"}) directories.emplace_back(usual);
  return directories;
}

// Our own files are in the directory of the running program (installed) or beside it in lib/ (a build tree).
Result<std::string> find_beside(const std::string& name) {
  GODWIT_ASSIGN(const std::string self, os::read_link("/proc/self/exe"));
  const std::string directory = self.substr(0, self.rfind('/'));
  for (const std::string& candidate : {directory + "/" + name, directory + "/../lib/" + name,
                                       directory + "/../lib/godwit/" + name, directory + "/../bin/" + name}) {
    if (::access(candidate.c_str(), R_OK) == 0) return candidate;
  }
  return fail("{} is missing: it belongs beside {}", name, self);
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("pipe for criu");
  return Pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

std::string version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

Result<Response> ask(const CriuProgram& criu, RequestType type, Deadline deadline) {
  GODWIT_ASSIGN(Swrk swrk, criu.start({}, deadline));
  GODWIT_TRY(send_packet(swrk.socket.get(), encode_request(type)));
  auto packet = receive_packet(swrk.socket.get(), deadline);
  if (!packet) return std::unexpected(std::move(packet).error().context(criu.path() + " swrk"));
  GODWIT_ASSIGN(const Response response, decode_response(*packet));
  swrk.socket.reset();
  GODWIT_TRY(swrk.process.wait(deadline));
  return response;
}

}  // namespace

Result<CriuProgram> CriuProgram::find(Deadline deadline) {
  for (const std::string& directory : search_directories()) {
    const std::string candidate = directory + "/criu";
    if (::access(candidate.c_str(), X_OK) == 0) return at(candidate, deadline);
  }
  return fail("criu was not found in PATH; {}", install_hint);
}

Result<CriuProgram> CriuProgram::at(const std::string& path, Deadline deadline) {
  CriuProgram criu;
  criu.path_ = path;
  GODWIT_ASSIGN(criu.shim_, find_beside("libgodwit-shim.so"));
  GODWIT_ASSIGN(criu.stand_in_, find_beside("godwit-criu"));
  const Result<Response> answer = ask(criu, RequestType::version, deadline);
  if (!answer) return fail("{} did not tell its version ({}); {}", path, answer.error().message, install_hint);
  criu.version_ = answer->version;
  if (criu.version_ < version_min) return fail("{} is version {}; {}", path, version_text(criu.version_), install_hint);
  return criu;
}

Result<> CriuProgram::warm_up(Deadline deadline) const {
  auto answer = ask(*this, RequestType::feature_check, deadline);
  if (!answer) return std::unexpected(std::move(answer).error().context("criu's check of the kernel"));
  if (!answer->success) return fail("criu's check of the kernel failed: {}", answer->message);
  if (!answer->lazy_pages)
    return fail("criu says that this kernel cannot restore with lazy memory: userfaultfd is missing or not permitted");
  return {};
}

Result<Swrk> CriuProgram::start(const SwrkOptions& options, Deadline deadline) const {
  GODWIT_ASSIGN(os::SocketPair socket, os::seqpacket_pair());
  os::Command command{.argv = {path_, "swrk", "3"},
                      .directory = options.directory,
                      .network_namespace = options.network_namespace,
                      .namespaces = options.namespaces,
                      .descriptors = {{socket.theirs.get(), 3}},
                      .die_with_parent = false};
  Pipe ready;
  Pipe scanned;
  if (!options.shim_mode.empty()) {
    GODWIT_ASSIGN(ready, make_pipe());
    GODWIT_ASSIGN(scanned, make_pipe());
    command.descriptors.emplace_back(ready.write.get(), 4);
    command.descriptors.emplace_back(scanned.read.get(), 5);
    command.environment = {"LD_PRELOAD=" + shim_, "GODWIT_SHIM=" + options.shim_mode, "GODWIT_SHIM_READY=4",
                           "GODWIT_SHIM_SCANNED=5"};
  }
  UniqueFd lock;
  if (!options.lock.empty()) {
    GODWIT_ASSIGN(lock, os::lock_file(options.lock, deadline));
    command.descriptors.emplace_back(lock.get(), lock_number);
  }
  GODWIT_ASSIGN(os::Subprocess process, os::Subprocess::start(command));
  return Swrk{std::move(process), std::move(socket.ours), std::move(ready.read), std::move(scanned.write)};
}

Result<> CriuProgram::wait_loaded(Swrk& swrk, Deadline deadline) {
  GODWIT_TRY(os::wait_readable(swrk.ready.get(), deadline));
  char word[8];
  if (::read(swrk.ready.get(), word, sizeof word) <= 0) return fail("criu did not load the library that it needs");
  swrk.ready.reset();
  return {};
}

std::string CriuProgram::version() const {
  return version_text(version_);
}

}  // namespace godwit::criu
