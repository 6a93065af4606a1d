#include "agent/requests.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "agent/events.h"
#include "agent/json_fields.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

json to_json(const MigrateOptions& from) {
  json options = json::object();
  if (from.bandwidth_bytes_per_s) options["bandwidth_bytes_per_s"] = *from.bandwidth_bytes_per_s;
  if (from.lanes) options["lanes"] = *from.lanes;
  if (from.page_store_bytes) options["page_store_bytes"] = *from.page_store_bytes;
  if (from.deadline_ms) options["deadline_ms"] = *from.deadline_ms;
  if (from.iterations) options["iterations"] = *from.iterations;
  if (from.dirty_pages) options["dirty_pages"] = *from.dirty_pages;
  if (from.freeze_time_ms) options["freeze_time_ms"] = *from.freeze_time_ms;
  if (from.be_done_soon) options["be_done_soon"] = true;
  options["network"] = network_mode_name(from.network);
  options["keep_tcp"] = from.keep_tcp;
  return options;
}

json to_json(const MigrateRequest& request) {
  return {{"verb", "migrate"},
          {"container", request.container},
          {"to", request.to},
          {"to_name", request.to_name},
          {"to_addresses", request.to_addresses},
          {"session", request.session},
          {"to_session", request.to_session},
          {"companions", request.companions},
          {"options", to_json(request.options)}};
}
json to_json(const PsRequest&) {
  return {{"verb", "ps"}};
}
json to_json(const SessionsRequest&) {
  return {{"verb", "sessions"}};
}
json to_json(const InspectRequest& request) {
  return {{"verb", "inspect"}, {"session", request.session}};
}
json to_json(const CancelRequest& request) {
  return {{"verb", "cancel"}, {"session", request.session}};
}

json to_json(const AbandonRequest& request) {
  return {{"verb", "abandon"}, {"session", request.session}, {"copy", request.keep ? "keep" : "end"}};
}

json to_json(const HoldRequest& request) {
  return {{"verb", request.hold ? "hold" : "let-go"}, {"container", request.container}};
}

json to_json(const ReconfigureRequest& request) {
  return {{"verb", "reconfigure"}, {"session", request.session}, {"options", to_json(request.options)}};
}

json to_json(const AddressesRequest& request) {
  json routes = json::array();
  for (const auto& route : request.set_routes) routes.push_back({{"address", route.address}, {"via", route.via}});
  return {{"verb", "addresses"},
          {"release", request.release},
          {"set_routes", std::move(routes)},
          {"drop_routes", request.drop_routes}};
}

std::string required_text(JsonFields& fields, const char* name) {
  std::string text = fields.text(name);
  if (text.empty()) fields.blame_member(name, "is empty");
  return text;
}

MigrateOptions read_options(const json& object, JsonFields& request) {
  JsonFields fields(object, "options", event_text_bytes_max);
  MigrateOptions options;
  if (fields.has("bandwidth_bytes_per_s")) options.bandwidth_bytes_per_s = fields.count("bandwidth_bytes_per_s", 1);
  if (fields.has("lanes")) options.lanes = fields.count("lanes", 1, lanes_max);
  if (fields.has("page_store_bytes")) options.page_store_bytes = fields.count("page_store_bytes", 1);
  if (fields.has("deadline_ms")) options.deadline_ms = fields.number("deadline_ms");
  if (fields.has("iterations")) options.iterations = fields.count("iterations", 1, iterations_max);
  if (fields.has("dirty_pages")) options.dirty_pages = fields.count("dirty_pages");
  if (fields.has("be_done_soon")) options.be_done_soon = fields.flag("be_done_soon");
  if (fields.has("freeze_time_ms")) options.freeze_time_ms = fields.number("freeze_time_ms");
  if (fields.has("network")) {
    const auto mode = network_mode_from(fields.text("network"));
    if (!mode) fields.blame_member("network", "is neither 'auto' nor 'preserve' nor 'reconnect'");
    options.network = mode.value_or(NetworkMode::automatic);
  }
  if (fields.has("keep_tcp")) options.keep_tcp = fields.flag("keep_tcp");
  if (fields.error()) request.blame(fields.error()->message);
  return options;
}

AbandonRequest read_abandon(JsonFields& fields) {
  AbandonRequest request{.session = required_text(fields, "session")};
  const std::string copy = fields.text("copy");
  if (copy != "keep" && copy != "end") fields.blame_member("copy", "is neither 'keep' nor 'end'");
  request.keep = copy == "keep";
  return request;
}

AddressesRequest read_addresses(JsonFields& fields) {
  AddressesRequest request;
  request.release = fields.texts("release");
  request.drop_routes = fields.texts("drop_routes");
  const json* routes = fields.find("set_routes");
  if (routes == nullptr) return request;
  if (!routes->is_array()) fields.blame_member("set_routes", "is not a list");
  for (const json& object : *routes) {
    JsonFields route(object, "a route", event_text_bytes_max);
    request.set_routes.push_back({.address = required_text(route, "address"), .via = required_text(route, "via")});
    if (route.error()) fields.blame(route.error()->message);
  }
  return request;
}

std::vector<std::string> read_companions(const json& list, JsonFields& request) {
  const auto proper = [](const json& name) { return name.is_string() && !name.get_ref<const std::string&>().empty(); };
  if (list.is_array() && list.size() < pod_containers_max && std::ranges::all_of(list, proper)) {
    return list.get<std::vector<std::string>>();
  }
  request.blame_member("companions", fmt::format("is not a list of less than {} names", pod_containers_max));
  return {};
}

MigrateRequest read_migrate(const json& object, JsonFields& fields) {
  MigrateRequest request;
  request.container = required_text(fields, "container");
  request.to = required_text(fields, "to");
  if (fields.has("to_name")) request.to_name = fields.text("to_name");
  if (fields.has("to_addresses")) request.to_addresses = fields.texts("to_addresses");
  if (fields.has("session")) request.session = fields.text("session");
  if (fields.has("to_session")) request.to_session = fields.text("to_session");
  if (fields.has("companions")) request.companions = read_companions(object["companions"], fields);
  if (fields.has("options")) request.options = read_options(object["options"], fields);
  return request;
}

}  // namespace

std::string encode_request(const Request& request) {
  const json object = std::visit([](const auto& one) { return to_json(one); }, request);
  return object.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

Result<Request> decode_request(std::string_view line) {
  if (line.size() > event_line_bytes_max) return fail("request of {} bytes is too long", line.size());
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return fail("request is not JSON: {}", line.substr(0, 80));
  JsonFields fields(object, "request", event_text_bytes_max);
  const std::string verb = fields.text("verb");
  Request request;
  if (verb == "migrate") {
    request = read_migrate(object, fields);
  } else if (verb == "ps") {
    request = PsRequest{};
  } else if (verb == "sessions") {
    request = SessionsRequest{};
  } else if (verb == "inspect") {
    request = InspectRequest{required_text(fields, "session")};
  } else if (verb == "cancel") {
    request = CancelRequest{required_text(fields, "session")};
  } else if (verb == "abandon") {
    request = read_abandon(fields);
  } else if (verb == "reconfigure") {
    ReconfigureRequest reconfigure{.session = required_text(fields, "session"), .options = {}};
    if (fields.has("options")) reconfigure.options = read_options(object["options"], fields);
    request = std::move(reconfigure);
  } else if (verb == "hold" || verb == "let-go") {
    request = HoldRequest{.container = required_text(fields, "container"), .hold = verb == "hold"};
  } else if (verb == "addresses") {
    request = read_addresses(fields);
  } else {
    fields.blame(fmt::format("unknown verb '{}'", verb));
  }
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

}  // namespace godwit::agent
