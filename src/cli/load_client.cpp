#include "cli/load_client.h"

namespace godwit::cli {
namespace {

std::string describe(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::status:
      return "+" + reply.text;
    case Reply::Kind::error:
      return "-" + reply.text;
    case Reply::Kind::integer:
      return ":" + std::to_string(reply.integer);
    case Reply::Kind::bulk:
      return fmt::format("{} bytes \"{}...\"", reply.text.size(), reply.text.substr(0, 12));
    case Reply::Kind::null:
      return "null";
  }
  return "?";
}

}  // namespace

void LoadClient::next_request(std::string& out) {
  // A counter every other time: it is what notices a request answered twice or never.
  switch (random_.below(data_keys_ > 0 ? 5 : 4)) {
    case 0:
    case 1:
      asked_ = Asked::increment;
      append_command(out, {"INCR", counter_key(number_)});
      return;
    case 2:
      asked_ = Asked::set;
      slot_ = random_.below(slots);
      append_command(out, {"SET", slot_key(number_, slot_), slot_value(number_, slot_, versions_[slot_] + 1)});
      return;
    case 3:
      asked_ = Asked::get_own;
      slot_ = random_.below(slots);
      append_command(out, {"GET", slot_key(number_, slot_)});
      return;
    default:
      asked_ = Asked::get_data;
      data_index_ = random_.below(data_keys_);
      append_command(out, {"GET", data_key(data_index_)});
      return;
  }
}

std::string LoadClient::judge(const Reply& reply) {
  const auto wrong = [&](const std::string& request, const std::string& expected) {
    return fmt::format("client {}: {} was answered {} instead of {}", number_, request, describe(reply), expected);
  };
  switch (asked_) {
    case Asked::increment: {
      const int64_t expected = counter_ + 1;
      counter_ = reply.kind == Reply::Kind::integer ? reply.integer : expected;  // so that one slip counts once
      if (reply.kind == Reply::Kind::integer && reply.integer == expected) return {};
      return wrong("INCR", ":" + std::to_string(expected));
    }
    case Asked::set:
      ++versions_[slot_];
      if (reply.kind == Reply::Kind::status && reply.text == "OK") return {};
      return wrong("SET " + slot_key(number_, slot_), "+OK");
    case Asked::get_own: {
      const uint64_t version = versions_[slot_];
      if (version == 0 ? reply.kind == Reply::Kind::null
                       : reply.kind == Reply::Kind::bulk && reply.text == slot_value(number_, slot_, version)) {
        return {};
      }
      return wrong("GET " + slot_key(number_, slot_), version == 0 ? "null" : fmt::format("version {}", version));
    }
    case Asked::get_data:
      if (reply.kind == Reply::Kind::bulk && reply.text == data_value(data_index_)) return {};
      return wrong("GET " + data_key(data_index_), "its value");
  }
  return {};
}

}  // namespace godwit::cli
