// Who may read the live page: the name by which a browser asks for it, and the token.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace uvic::app {

/// Whether both are equal, in a time that depends on the length of `given` alone: how long a
/// refusal takes says nothing about the secret.
bool same_secret(std::string_view secret, std::string_view given);

/// Whether `host`, the Host header of a request or the authority of its Origin, names this server:
/// a numeric address, "localhost", or one of `names`, with or without a port.
///
/// Another site's name can be made to resolve to this machine (DNS rebinding), and its scripts
/// would then read the page as their own. A browser sends that name as the Host.
bool is_own_host(std::string_view host, const std::vector<std::string>& names);

/// "http://AUTHORITY" to AUTHORITY; empty for anything else.
std::string_view authority_of(std::string_view origin);

/// Whether only this machine reaches a server that listens at `host`, a name or numeric address.
bool is_loopback_name(const std::string& host);

}  // namespace uvic::app
