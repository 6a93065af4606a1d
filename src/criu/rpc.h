// criu's RPC: one protobuf message a packet, over a SOCK_SEQPACKET socket to a `criu swrk`. Only the fields that we use
// are known here, by their numbers in criu's rpc.proto; the rest passes through untouched.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::criu {

enum class RequestType : int32_t {
  dump = 1,
  restore = 2,
  notify = 6,
  feature_check = 9,
  version = 10,
};

constexpr size_t message_bytes_max = 256 << 10;

// What criu says. A notification (`type` notify) must be answered before it goes on.
struct Response {
  int32_t type = 0;
  bool success = false;
  std::string stage;        // of a notification: "pre-resume" and so on
  pid_t pid = 0;            // of the notifications setup-namespaces and post-restore: the first process
  int32_t error = 0;        // an errno, if criu knows one
  std::string message;      // criu's first error line, often a harmless one
  int32_t version = 0;      // of a version answer: 40201 for 4.2.1
  bool lazy_pages = false;  // of a feature_check answer
};

// Options of a dump or a restore. Strings are as criu's command line takes them.
struct Options {
  int images_dir_fd = -1;  // numbers in the table of the process that made the socket
  int work_dir_fd = -1;
  pid_t pid = 0;
  int32_t log_level = 2;
  std::string log_file;
  std::string freeze_cgroup;
  std::vector<std::string> external;
  uint32_t ghost_limit_bytes = 0;
  uint32_t timeout_s = 0;  // for seizing the tasks
  bool leave_running = false;
  bool tcp_established = false;
  bool tcp_skip_in_flight = false;
  bool file_locks = false;
  bool notify = false;
  bool lazy_pages = false;
  bool orphan_pts_master = false;
};

std::string encode_request(RequestType type);
std::string encode_request(RequestType type, const Options& options);
std::string encode_notify_answer(bool success);
Result<Response> decode_response(std::string_view packet);

// The type of a request and the descriptor that it gives criu for the key, or -1: for the program that stands in for
// criu and has to know what it is started for.
struct RequestSummary {
  int32_t type = 0;
  std::map<std::string, int> inherited;  // key -> descriptor number in criu
};
Result<RequestSummary> summarize_request(std::string_view packet);

// runc's request for a restore with our options in place of its own: directories, log, cgroup handling, network lock,
// lazy pages, configuration file. Its external mounts stay unless `options.external` has the same mount point.
Result<std::string> rewrite_restore_request(std::string_view packet, const Options& options);

// One packet. Errors: code EPIPE when the other end is gone; the deadline's passing.
Result<> send_packet(int socket, std::string_view packet);
Result<std::string> receive_packet(int socket, Deadline deadline);

}  // namespace godwit::criu
