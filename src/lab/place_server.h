// Starts programs inside a place for those outside it. It is what a place's first process does all its life, besides
// reaping orphans: a program that it starts is in all of the place's namespaces and cgroups from the beginning, and its
// parent is the place's own init, as on a machine.
//
// One SOCK_SEQPACKET connection a program, at a socket in the lab's state directory (root only):
//   client -> place: the request below, with the program's descriptors (SCM_RIGHTS)
//   client -> place: one byte, a signal number for the program; when the client closes, the program is killed
//   place -> client: one byte, the exit status (128 + signal if one killed it), then the end
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::lab {

struct ProgramRequest {
  std::string directory;
  std::vector<std::string> environment;  // all of it
  std::vector<std::string> argv;
  std::vector<int> numbers;  // of the descriptors that come along, in the program
};

inline constexpr size_t request_bytes_max = 128 << 10;
inline constexpr size_t request_descriptors_max = 32;
inline constexpr int start_failed_status = 125;  // the program was not run; its standard error says why

// As the words of one message; argv and environment may hold any byte but 0.
std::string encode_request(const ProgramRequest& request);
Result<ProgramRequest> decode_request(const std::string& message);

Result<UniqueFd> listen_at(const std::string& socket_path);

// Does not return. The caller is the first process of a pid namespace, single-threaded, with all signals blocked.
[[noreturn]] void serve_place(UniqueFd listener);

}  // namespace godwit::lab
