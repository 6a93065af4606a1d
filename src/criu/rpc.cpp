#include "criu/rpc.h"

#include <sys/socket.h>

#include <exception>
#include <set>

#include <protozero/pbf_builder.hpp>
#include <protozero/pbf_message.hpp>

#include "os/fd_passing.h"

namespace godwit::criu {
namespace {

// Field numbers of criu's messages.
enum class RequestField : protozero::pbf_tag_type { type = 1, options = 2, notify_success = 3, features = 5 };
enum class ResponseField : protozero::pbf_tag_type {
  type = 1,
  success = 2,
  notify = 5,
  error = 7,
  features = 8,
  message = 9,
  version = 10,
};
enum class NotifyField : protozero::pbf_tag_type { stage = 1, pid = 2 };
enum class FeatureField : protozero::pbf_tag_type { lazy_pages = 2 };
enum class VersionField : protozero::pbf_tag_type { major = 1, minor = 2, sublevel = 4 };
enum class PairField : protozero::pbf_tag_type { key = 1, value = 2 };
enum class OptionField : protozero::pbf_tag_type {
  images_dir_fd = 1,
  pid = 2,
  leave_running = 3,
  tcp_established = 5,
  file_locks = 8,
  log_level = 9,
  log_file = 10,
  notify_scripts = 12,
  work_dir_fd = 17,
  external_mounts = 23,
  manage_cgroups = 24,
  inherit_fd = 27,
  manage_cgroups_mode = 34,
  ghost_limit = 35,
  external = 37,
  freeze_cgroup = 44,
  timeout = 45,
  tcp_skip_in_flight = 46,
  lazy_pages = 48,
  orphan_pts_master = 50,
  config_file = 51,
  network_lock = 64,
};
constexpr int32_t manage_cgroups_ignore = 0;
constexpr int32_t network_lock_skip = 3;

using OptionsWriter = protozero::pbf_builder<OptionField>;

// A bool of false is left out: it is the default everywhere, and a field that is there may override another.
void add_true(OptionsWriter& writer, OptionField field, bool value) {
  if (value) writer.add_bool(field, true);
}

std::string encode_options(const Options& options) {
  std::string data;
  OptionsWriter writer(data);
  writer.add_int32(OptionField::images_dir_fd, options.images_dir_fd);
  if (options.work_dir_fd >= 0) writer.add_int32(OptionField::work_dir_fd, options.work_dir_fd);
  if (options.pid > 0) writer.add_int32(OptionField::pid, options.pid);
  writer.add_int32(OptionField::log_level, options.log_level);
  if (!options.log_file.empty()) writer.add_string(OptionField::log_file, options.log_file);
  if (!options.freeze_cgroup.empty()) writer.add_string(OptionField::freeze_cgroup, options.freeze_cgroup);
  for (const std::string& external : options.external) writer.add_string(OptionField::external, external);
  if (options.ghost_limit_bytes > 0) writer.add_uint32(OptionField::ghost_limit, options.ghost_limit_bytes);
  if (options.timeout_s > 0) writer.add_uint32(OptionField::timeout, options.timeout_s);
  // Cgroups are runc's at the destination, packets are held back by the gate: criu touches neither.
  writer.add_enum(OptionField::manage_cgroups_mode, manage_cgroups_ignore);
  writer.add_enum(OptionField::network_lock, network_lock_skip);
  add_true(writer, OptionField::leave_running, options.leave_running);
  add_true(writer, OptionField::tcp_established, options.tcp_established);
  add_true(writer, OptionField::tcp_skip_in_flight, options.tcp_skip_in_flight);
  add_true(writer, OptionField::file_locks, options.file_locks);
  add_true(writer, OptionField::notify_scripts, options.notify);
  add_true(writer, OptionField::lazy_pages, options.lazy_pages);
  add_true(writer, OptionField::orphan_pts_master, options.orphan_pts_master);
  return data;
}

std::string encode(RequestType type, const std::string* options) {
  std::string data;
  protozero::pbf_builder<RequestField> writer(data);
  writer.add_enum(RequestField::type, static_cast<int32_t>(type));
  if (options != nullptr) writer.add_message(RequestField::options, *options);
  if (type == RequestType::feature_check) {
    std::string features;
    protozero::pbf_builder<FeatureField>(features).add_bool(FeatureField::lazy_pages, true);
    writer.add_message(RequestField::features, features);
  }
  return data;
}

int32_t decode_version(protozero::pbf_message<VersionField> message) {
  int32_t version = 0;
  while (message.next()) {
    switch (message.tag()) {
      case VersionField::major:
        version += message.get_int32() * 10000;
        break;
      case VersionField::minor:
        version += message.get_int32() * 100;
        break;
      case VersionField::sublevel:
        version += message.get_int32();
        break;
      default:
        message.skip();
    }
  }
  return version;
}

Response decode(std::string_view packet) {
  Response response;
  protozero::pbf_message<ResponseField> message(packet.data(), packet.size());
  while (message.next()) {
    switch (message.tag()) {
      case ResponseField::type:
        response.type = message.get_enum();
        break;
      case ResponseField::success:
        response.success = message.get_bool();
        break;
      case ResponseField::notify: {
        protozero::pbf_message<NotifyField> notify(message.get_message());
        while (notify.next()) {
          if (notify.tag() == NotifyField::stage) {
            response.stage = notify.get_string();
          } else if (notify.tag() == NotifyField::pid) {
            response.pid = notify.get_int32();
          } else {
            notify.skip();
          }
        }
        break;
      }
      case ResponseField::error:
        response.error = message.get_int32();
        break;
      case ResponseField::features: {
        protozero::pbf_message<FeatureField> features(message.get_message());
        while (features.next(FeatureField::lazy_pages)) response.lazy_pages = features.get_bool();
        break;
      }
      case ResponseField::message:
        response.message = message.get_string();
        break;
      case ResponseField::version:
        response.version = decode_version(protozero::pbf_message<VersionField>(message.get_message()));
        break;
      default:
        message.skip();
    }
  }
  return response;
}

std::string pair_key(protozero::data_view pair) {
  protozero::pbf_message<PairField> message(pair);
  return message.next(PairField::key) ? message.get_string() : std::string();
}

RequestSummary summarize(std::string_view packet) {
  RequestSummary summary;
  protozero::pbf_message<RequestField> message(packet.data(), packet.size());
  while (message.next()) {
    if (message.tag() == RequestField::type) {
      summary.type = message.get_enum();
    } else if (message.tag() == RequestField::options) {
      protozero::pbf_message<OptionField> options(message.get_message());
      while (options.next(OptionField::inherit_fd)) {
        protozero::pbf_message<PairField> pair(options.get_view());
        std::string key;
        int number = -1;
        while (pair.next()) {
          if (pair.tag() == PairField::key) {
            key = pair.get_string();
          } else if (pair.tag() == PairField::value) {
            number = pair.get_int32();
          } else {
            pair.skip();
          }
        }
        summary.inherited.emplace(std::move(key), number);
      }
    } else {
      message.skip();
    }
  }
  return summary;
}

// "mnt[/dev/shm]:/x" -> "/dev/shm"
std::string external_mount_key(const std::string& external) {
  const size_t end = external.find("]:");
  if (!external.starts_with("mnt[") || end == std::string::npos) return {};
  return external.substr(4, end - 4);
}

// Copies the field at which `from` stands.
void copy_field(protozero::pbf_message<OptionField>& from, OptionsWriter& to) {
  const OptionField field = from.tag();
  switch (from.wire_type()) {
    case protozero::pbf_wire_type::varint:
      to.add_uint64(field, from.get_uint64());
      break;
    case protozero::pbf_wire_type::fixed64:
      to.add_fixed64(field, from.get_fixed64());
      break;
    case protozero::pbf_wire_type::fixed32:
      to.add_fixed32(field, from.get_fixed32());
      break;
    default:
      to.add_bytes(field, from.get_view());
  }
}

std::string rewrite_options(protozero::data_view original, const Options& options) {
  std::set<std::string> replaced;
  for (const std::string& external : options.external) replaced.insert(external_mount_key(external));
  std::string data;
  {
    OptionsWriter writer(data);
    protozero::pbf_message<OptionField> message(original);
    while (message.next()) {
      switch (message.tag()) {
        case OptionField::images_dir_fd:
        case OptionField::work_dir_fd:
        case OptionField::log_level:
        case OptionField::log_file:
        case OptionField::tcp_established:
        case OptionField::file_locks:
        case OptionField::notify_scripts:
        case OptionField::manage_cgroups:
        case OptionField::manage_cgroups_mode:
        case OptionField::lazy_pages:
        case OptionField::orphan_pts_master:
        case OptionField::config_file:
        case OptionField::network_lock:
          message.skip();
          break;
        case OptionField::external_mounts: {
          const protozero::data_view pair = message.get_view();
          if (!replaced.contains(pair_key(pair))) writer.add_bytes(OptionField::external_mounts, pair);
          break;
        }
        default:
          copy_field(message, writer);
      }
    }
  }
  return data + encode_options(options);
}

// protozero throws on malformed input; no exception leaves this room.
template <typename Function>
auto guarded(const char* what, Function function) -> Result<decltype(function())> {
  try {
    return function();
  } catch (const protozero::exception& error) {
    return fail("malformed {}: {}", what, error.what());
  }
}

}  // namespace

std::string encode_request(RequestType type) {
  return encode(type, nullptr);
}

std::string encode_request(RequestType type, const Options& options) {
  const std::string data = encode_options(options);
  return encode(type, &data);
}

std::string encode_notify_answer(bool success) {
  std::string data;
  protozero::pbf_builder<RequestField> writer(data);
  writer.add_enum(RequestField::type, static_cast<int32_t>(RequestType::notify));
  writer.add_bool(RequestField::notify_success, success);
  return data;
}

Result<Response> decode_response(std::string_view packet) {
  return guarded("answer of criu", [&] { return decode(packet); });
}

Result<RequestSummary> summarize_request(std::string_view packet) {
  return guarded("request to criu", [&] { return summarize(packet); });
}

Result<std::string> rewrite_restore_request(std::string_view packet, const Options& options) {
  return guarded("request of runc", [&] {
    std::string data;
    protozero::pbf_builder<RequestField> writer(data);
    protozero::pbf_message<RequestField> message(packet.data(), packet.size());
    std::string merged;
    while (message.next()) {
      if (message.tag() == RequestField::options) {
        merged = rewrite_options(message.get_view(), options);
      } else {
        message.skip();
      }
    }
    writer.add_enum(RequestField::type, static_cast<int32_t>(RequestType::restore));
    writer.add_message(RequestField::options, merged);
    return data;
  });
}

Result<> send_packet(int socket, std::string_view packet) {
  for (;;) {
    const ssize_t sent = ::send(socket, packet.data(), packet.size(), MSG_NOSIGNAL);
    if (sent >= 0) return {};
    if (errno != EINTR) return fail_errno("send to criu");
  }
}

Result<std::string> receive_packet(int socket, Deadline deadline) {
  GODWIT_TRY(os::wait_readable(socket, deadline));
  std::string packet(message_bytes_max, '\0');
  for (;;) {
    const ssize_t got = ::recv(socket, packet.data(), packet.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("receive from criu");
    if (got == 0) return std::unexpected(Error{"the other end closed the socket", EPIPE});
    if (static_cast<size_t>(got) > packet.size()) return fail("a message of {} bytes is too long", got);
    packet.resize(static_cast<size_t>(got));
    return packet;
  }
}

}  // namespace godwit::criu
