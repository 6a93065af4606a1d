#include "network/address_book.h"

#include <algorithm>
#include <cstdlib>

#include "os/file.h"

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr auto release_time = std::chrono::seconds(30);
constexpr const char* kept = "kept";
constexpr const char* guest = "guest";

std::string directory() {
  const char* other = std::getenv("GODWIT_CNI_STATE");
  return other == nullptr ? "/var/lib/cni/godwit" : other;
}

// What container engines call a sandbox; it becomes the name of a file.
Result<std::string> path_of(const char* kind, const std::string& sandbox) {
  constexpr size_t bytes_max = 200;
  const bool proper = !sandbox.empty() && sandbox.size() <= bytes_max && sandbox[0] != '.' &&
                      std::ranges::all_of(sandbox, [](unsigned char c) {
                        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                      });
  if (!proper) return fail("'{}' is not the name of a sandbox", sandbox);
  return fmt::format("{}/{}/{}", directory(), kind, sandbox);
}

// Held while one lives. Blocks for as long as another process is in one step, a plugin's call at most.
Result<UniqueFd> lock() {
  for (const char* kind : {kept, guest}) GODWIT_TRY(os::make_directories(directory() + "/" + kind, 0700));
  return os::lock_file(directory() + "/lock", Deadline::never());
}

Result<std::optional<json>> read_record(const char* kind, const std::string& sandbox) {
  GODWIT_ASSIGN(const std::string path, path_of(kind, sandbox));
  if (!os::exists(path)) return std::nullopt;
  GODWIT_ASSIGN(const std::string text, os::read_file(path));
  json record = json::parse(text, nullptr, false);
  const json addresses = record.is_object() ? record.value("addresses", json()) : json();
  if (!addresses.is_array() || !std::ranges::all_of(addresses, [](const json& one) { return one.is_string(); })) {
    return fail("{} is damaged", path);
  }
  return record;
}

Result<> write_record(const char* kind, const std::string& sandbox, const json& record) {
  GODWIT_ASSIGN(const std::string path, path_of(kind, sandbox));
  return os::write_file_atomic(path, record.dump());
}

Result<> remove_record(const char* kind, const std::string& sandbox) {
  GODWIT_ASSIGN(const std::string path, path_of(kind, sandbox));
  return os::remove_tree(path);
}

std::vector<std::string> addresses_in(const json& record) {
  std::vector<std::string> addresses;
  for (const json& address : record["addresses"]) addresses.push_back(address.get<std::string>());
  return addresses;
}

std::vector<std::string> without_prefixes(const std::vector<std::string>& addresses) {
  std::vector<std::string> bare;
  for (const std::string& address : addresses) bare.push_back(without_prefix(address));
  return bare;
}

// Calls visit(sandbox, record) for each record; a damaged one is nobody's.
template <typename Visit>
Result<> for_each_record(const char* kind, Visit&& visit) {
  GODWIT_ASSIGN(const std::vector<std::string> names, os::list_directory(directory() + "/" + kind));
  for (const std::string& name : names) {
    const auto record = read_record(kind, name);
    if (record && *record) visit(name, **record);
  }
  return {};
}

// With the lock held.
Result<> make_call(const std::string& sandbox, const json& record) {
  if (record.contains("call")) {
    GODWIT_ASSIGN(PluginCall del, plugin_call_from_json(record["call"]));
    del.netns.clear();  // it is gone, and its name may be another one's
    GODWIT_TRY(call_plugin(del, Deadline::after(release_time)));
  }
  return remove_record(kept, sandbox);
}

GuestAddress::State state_of(const json& record) {
  if (!record.value("here", false)) return GuestAddress::State::arriving;
  return record.value("leaves", false) ? GuestAddress::State::leaving : GuestAddress::State::here;
}

bool network_lives(const json& record) {
  return os::exists(record.value("netns", ""));
}

}  // namespace

std::string without_prefix(const std::string& address) {
  return address.substr(0, address.find('/'));
}

Result<> keep_address(const std::string& sandbox, const std::vector<std::string>& addresses) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(std::optional<json> record, read_record(guest, sandbox));
  if (record) {
    (*record)["leaves"] = true;
    return write_record(guest, sandbox, *record);
  }
  return write_record(kept, sandbox, {{"addresses", without_prefixes(addresses)}});
}

Result<> keep_no_longer(const std::string& sandbox) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(std::optional<json> record, read_record(guest, sandbox));
  if (record) {
    (*record)["leaves"] = false;
    return write_record(guest, sandbox, *record);
  }
  GODWIT_ASSIGN(record, read_record(kept, sandbox));
  return record ? make_call(sandbox, *record) : Result<>{};
}

Result<bool> put_off(const PluginCall& del) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(std::optional<json> record, read_record(kept, del.container_id));
  if (!record) return false;
  (*record)["call"] = to_json(del);
  GODWIT_TRY(write_record(kept, del.container_id, *record));
  return true;
}

Result<> release_address(const std::string& sandbox) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(const std::optional<json> record, read_record(kept, sandbox));
  // Without a call its sandbox is still there, and has the address.
  if (!record || !record->contains("call")) return {};
  return make_call(sandbox, *record);
}

Result<std::vector<KeptAddress>> kept_addresses() {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  std::vector<KeptAddress> all;
  GODWIT_TRY(for_each_record(kept, [&](const std::string& sandbox, const json& record) {
    if (record.contains("call")) all.push_back({.sandbox = sandbox, .addresses = addresses_in(record)});
  }));
  return all;
}

Result<> welcome_guest(const std::string& sandbox, const Guest& newcomer) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  return write_record(guest, sandbox,
                      {{"addresses", without_prefixes(newcomer.addresses)},
                       {"netns", newcomer.netns},
                       {"routed", newcomer.routed},
                       {"here", false},
                       {"leaves", false}});
}

Result<std::optional<Guest>> find_guest(const std::string& sandbox) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(const std::optional<json> record, read_record(guest, sandbox));
  if (!record) return std::nullopt;
  return Guest{.netns = record->value("netns", ""),
               .addresses = addresses_in(*record),
               .routed = record->value("routed", false)};
}

Result<> settle_guest(const std::string& sandbox) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(std::optional<json> record, read_record(guest, sandbox));
  if (!record) return {};
  (*record)["here"] = true;
  return write_record(guest, sandbox, *record);
}

Result<> dismiss_guest(const std::string& sandbox) {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_ASSIGN(const std::optional<json> record, read_record(guest, sandbox));
  if (!record) return {};
  std::vector<std::pair<std::string, json>> at_home;
  if (!record->value("leaves", false)) {
    GODWIT_TRY(for_each_record(kept, [&](const std::string& name, const json& other) {
      if (other.contains("call") && other["addresses"] == (*record)["addresses"]) at_home.emplace_back(name, other);
    }));
  }
  for (const auto& [name, other] : at_home) GODWIT_TRY(make_call(name, other));
  return remove_record(guest, sandbox);
}

Result<std::vector<GuestAddress>> guest_addresses() {
  GODWIT_ASSIGN(const UniqueFd held, lock());
  std::vector<GuestAddress> all;
  GODWIT_TRY(for_each_record(guest, [&](const std::string&, const json& record) {
    if (!network_lives(record)) return;
    for (std::string& address : addresses_in(record)) {
      all.push_back(
          {.address = std::move(address), .routed = record.value("routed", false), .state = state_of(record)});
    }
  }));
  return all;
}

Result<std::vector<std::string>> addresses_of_sandboxes() {
  std::vector<std::string> all;
  GODWIT_ASSIGN(const std::vector<GuestAddress> guests, guest_addresses());
  for (const GuestAddress& one : guests) all.push_back(one.address);
  GODWIT_ASSIGN(const UniqueFd held, lock());
  GODWIT_TRY(for_each_record(kept, [&](const std::string&, const json& record) {
    if (record.contains("call")) return;
    for (std::string& address : addresses_in(record)) all.push_back(std::move(address));
  }));
  return all;
}

}  // namespace godwit::network
