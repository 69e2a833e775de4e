// Operations of AWS that are answered with credentials. A sandbox whose requests are signed for it
// has no use for others, and could take them elsewhere. Pure functions.
//
// Which operation a request is for: "AWS Query protocol" (Action in the URL or in a form), "AWS
// JSON 1.0/1.1" (X-Amz-Target), "Smithy RPC v2" (/service/NAME/operation/NAME) and REST, as Smithy
// has them (smithy.io, AWS protocols).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/http.h"

namespace moat::proxy {

// Of services whose requests name their operation in a form: the body has to be known.
bool aws_names_operation_in_body(std::string_view service);

// "sts:GetSessionToken", where the request is answered with credentials; what cannot be told of a
// service that has such operations, as "sts". Nothing where it may be signed. `service` is that of
// the signature, to which AWS holds who signs; `body` is whole if it was asked for.
std::optional<std::string> aws_gives_out_credentials(std::string_view service,
                                                     const RequestHead& head,
                                                     std::string_view body);

}  // namespace moat::proxy
