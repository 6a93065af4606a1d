#include "agent/requests.h"

#include <nlohmann/json.hpp>

#include "agent/events.h"
#include "agent/json_fields.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

json to_json(const MigrateRequest& request) {
  const MigrateOptions& from = request.options;
  json options = json::object();
  if (from.bandwidth_bytes_per_s) options["bandwidth_bytes_per_s"] = *from.bandwidth_bytes_per_s;
  if (from.lanes) options["lanes"] = *from.lanes;
  if (from.page_store_bytes) options["page_store_bytes"] = *from.page_store_bytes;
  if (from.deadline_ms) options["deadline_ms"] = *from.deadline_ms;
  if (from.iterations) options["iterations"] = *from.iterations;
  if (from.freeze_time_ms) options["freeze_time_ms"] = *from.freeze_time_ms;
  return {{"verb", "migrate"},
          {"container", request.container},
          {"to", request.to},
          {"to_name", request.to_name},
          {"options", std::move(options)}};
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
  if (fields.has("freeze_time_ms")) options.freeze_time_ms = fields.number("freeze_time_ms");
  if (fields.error()) request.blame(fields.error()->message);
  return options;
}

MigrateRequest read_migrate(const json& object, JsonFields& fields) {
  MigrateRequest request;
  request.container = required_text(fields, "container");
  request.to = required_text(fields, "to");
  if (fields.has("to_name")) request.to_name = fields.text("to_name");
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
  } else {
    fields.blame(fmt::format("unknown verb '{}'", verb));
  }
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

}  // namespace godwit::agent
