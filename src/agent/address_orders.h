// The node's part in what becomes of addresses that have moved.
#pragma once

#include "agent/events.h"
#include "agent/requests.h"
#include "base/result.h"

namespace godwit::agent {

// What cannot be done is logged; describe_addresses() shows that it was not, and it is ordered again.
void obey_address_orders(const AddressesRequest& orders);
Result<AddressesEvent> describe_addresses();

}  // namespace godwit::agent
