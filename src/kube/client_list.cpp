// Lists in chunks: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
#include "kube/client.h"
#include "kube/json_path.h"

namespace godwit::kube {
namespace {

// A continue token is good for some five minutes, so a list that grows too old more often than this will not end.
constexpr int restarts_max = 3;

void complete(json::array_t& items, const Resource& resource) {
  for (json& item : items) {
    if (!item.contains("apiVersion")) item["apiVersion"] = resource.api_version();
    if (!item.contains("kind")) item["kind"] = resource.kind;
  }
}

}  // namespace

ApiResult<json> Client::get_chunk(const Resource& resource, const ListOptions& options,
                                  const std::string& continue_token, const Call& call) {
  const ObjectPath collection{resource, options.namespace_name, "", ""};
  const Query query = Query()
                          .add("labelSelector", options.label_selector)
                          .add("fieldSelector", options.field_selector)
                          .add("limit", std::to_string(options.chunk_items))
                          .add("continue", continue_token);
  auto chunk = send({"GET", url_path(collection) + query.text(), {"Accept: application/json"}, ""}, call);
  if (!chunk) return std::unexpected(std::move(chunk).error().context("list " + shown(collection)));
  return chunk;
}

ApiResult<ListSummary> Client::list(const Resource& resource, const ListOptions& options, const ChunkSink& sink,
                                    const Call& call) {
  ListSummary summary;
  std::string continue_token;
  int restarts = 0;
  for (;;) {
    auto chunk = get_chunk(resource, options, continue_token, call);
    ++summary.requests;
    if (!chunk && chunk.error().gone() && !continue_token.empty() && restarts < restarts_max) {
      ++restarts;
      continue_token.clear();
      continue;
    }
    if (!chunk) return std::unexpected(std::move(chunk).error());
    const bool first = continue_token.empty();
    json::array_t items;
    if (const auto at = chunk->find("items"); at != chunk->end() && at->is_array()) {
      items = std::move(at->get_ref<json::array_t&>());
    }
    complete(items, resource);
    summary.items = (first ? 0 : summary.items) + items.size();
    summary.resource_version = text_at(*chunk, "/metadata/resourceVersion");
    sink(std::move(items), first);
    continue_token = text_at(*chunk, "/metadata/continue");
    if (continue_token.empty()) return summary;
  }
}

ApiResult<std::vector<json>> Client::list_all(const Resource& resource, const ListOptions& options, const Call& call) {
  std::vector<json> all;
  const ChunkSink collect = [&](json::array_t items, bool first) {
    if (first) all.clear();
    for (json& item : items) all.push_back(std::move(item));
  };
  GODWIT_TRY(list(resource, options, collect, call));
  return all;
}

}  // namespace godwit::kube
