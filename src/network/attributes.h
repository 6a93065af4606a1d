#pragma once

#include <libmnl/libmnl.h>

#include <utility>

namespace godwit::network {

// Calls visit(const nlattr*) for each attribute of a netlink message, after its `header_bytes` of fixed header.
// (libmnl's own loop macro is C: it converts from void* implicitly.)
template <typename Visit>
void for_each_attribute(const nlmsghdr* message, size_t header_bytes, Visit&& visit) {
  const auto* at = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, header_bytes));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at))); at = mnl_attr_next(at)) visit(at);
}

template <typename Visit>
void for_each_nested(const nlattr* nest, Visit&& visit) {
  const auto* at = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  const char* end = reinterpret_cast<const char*>(at) + mnl_attr_get_payload_len(nest);
  for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at))); at = mnl_attr_next(at)) visit(at);
}

}  // namespace godwit::network
