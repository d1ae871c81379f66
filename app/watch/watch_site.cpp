#include "app/watch/watch_site.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include "app/options/assets.h"
#include "app/report/page.h"
#include "app/runs/run_identity.h"
#include "app/watch/access.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"

namespace uvic::app {

using nlohmann::json;

namespace {

constexpr const char* kNonce = "UVIC_NONCE";

HttpResponse refusal(int status, const std::string& why) {
  HttpResponse response;
  response.status = status;
  response.body = why + "\n";
  return response;
}

HttpResponse json_response(const json& value) {
  HttpResponse response;
  response.type = "application/json";
  response.body = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

/// A number of the query; `absent` where there is none. False where it is no number.
bool read_number(const HttpRequest& request, const char* key, double absent, double& value) {
  const auto text = request.at(key);
  value = absent;
  if (text.empty()) return true;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() && std::isfinite(value);
}

/// POST asks for something, and for nothing else; it needs the Origin that browsers send with it.
bool is_allowed(const HttpRequest& request, bool has_desk) {
  const bool asks = request.path == "/api/sample" || request.path == "/api/cancel";
  return has_desk && asks ? request.method == "POST"
                          : request.method == "GET" || request.method == "HEAD";
}

/// Headers of every answer.
void add_headers(HttpResponse& response, const std::string& nonce) {
  const auto script = nonce.empty() ? std::string("'none'") : fmt::format("'nonce-{}'", nonce);
  response.headers.insert(
      response.headers.end(),
      {{"Content-Security-Policy",
        fmt::format("default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src 'self' "
                    "data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'",
                    script)},
       {"X-Content-Type-Options", "nosniff"},
       {"X-Frame-Options", "DENY"},
       {"Referrer-Policy", "no-referrer"},
       {"Cross-Origin-Resource-Policy", "same-origin"},
       {"Cross-Origin-Opener-Policy", "same-origin"},
       {"Cache-Control", "no-store"}});
}

}  // namespace

WatchSite::WatchSite(const RunSet& runs, SiteRules rules, SampleDesk* desk)
    : runs_(runs), rules_(std::move(rules)), desk_(desk) {
  const auto content = [](const char* file) {
    return formats::read_file(asset(std::string("assets/") + file));
  };
  page_ = render_page("watch.html",
                      {{"version", UVIC_VERSION},
                       {"nonce", kNonce},
                       {"plot_style", content("uplot/uPlot.min.css")},
                       {"plot_script", content("uplot/uPlot.iife.min.js")},
                       {"watch_style", content("watch.css")},
                       {"watch_script", content("watch.js")},
                       {"watch_try", content("watch_try.js")},
                       {"samples", desk_ != nullptr},
                       {"watch_plots", content("watch_plots.js")}});
}

HttpResponse WatchSite::answer(const HttpRequest& request) const {
  HttpResponse response;
  const auto origin = std::string(authority_of(request.origin));
  if (!is_own_host(request.host, rules_.names))
    response = refusal(421, "this server is not known by that name; see --names");
  else if (!is_allowed(request, desk_ != nullptr))
    response = refusal(405, "this method is not allowed here");
  else if ((!request.origin.empty() && origin != request.host) ||
           (request.fetch_site == "cross-site" && request.path != "/"))
    response = refusal(403, "requested by another site");
  else if (!rules_.token.empty() && !same_secret(rules_.token, request.at("token")))
    response =
        refusal(403, "the token is missing or wrong; use the address that uvic watch printed");
  else if (request.path == "/")
    return page();
  else
    response = route(request);
  add_headers(response, "");
  return response;
}

HttpResponse WatchSite::page() const {
  HttpResponse response;
  const auto nonce = random_id(32);
  response.type = "text/html; charset=utf-8";
  response.body = page_;
  const std::string_view place = kNonce;
  for (size_t at = 0; (at = response.body.find(place, at)) != std::string::npos;)
    response.body.replace(at, place.size(), nonce);
  add_headers(response, nonce);
  return response;
}

HttpResponse WatchSite::route(const HttpRequest& request) const {
  if (request.path == "/api/runs") {
    auto list = json::array();
    const auto newest = runs_.events().newest();  // before: an event may come twice, never be lost
    for (const auto& run : runs_.runs()) list.push_back(run->summary());
    return json_response({{"newest", newest}, {"runs", std::move(list)}});
  }
  if (request.path == "/api/events") return events(request);
  if (desk_)
    for (const auto* path :
         {"/api/choices", "/api/sample", "/api/cancel", "/api/jobs", "/api/frame", "/api/image"})
      if (request.path == path) return of_desk(request);
  for (const auto* path : {"/api/curve", "/api/scores", "/api/log", "/api/config", "/grid"})
    if (request.path == path) return of_run(request);
  return refusal(404, "nothing is here");
}

HttpResponse WatchSite::of_run(const HttpRequest& request) const {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  const auto run = runs_.find(request.at("run"));
  if (!run) return refusal(404, "no run has this id");
  if (request.path == "/grid") return grid(request, *run);
  if (request.path == "/api/scores") return json_response(run->scores());
  if (request.path == "/api/log") return json_response(run->log_tail());
  if (request.path == "/api/config") return json_response(run->config());
  double points = 0, low = 0, high = 0;
  if (!read_number(request, "points", 1000, points) || points < 2 || points > 10'000 ||
      !read_number(request, "from", -kInfinite, low) ||
      !read_number(request, "to", kInfinite, high) || low > high)
    return refusal(400, "points is a number from 2 to 10000; from and to are numbers of images");
  return json_response(run->curve(static_cast<size_t>(points), low, high));
}

HttpResponse WatchSite::of_desk(const HttpRequest& request) const {
  if (request.path == "/api/jobs") return json_response(desk_->jobs());
  if (request.path == "/api/choices") {
    const auto choices = desk_->choices(request.at("run"));
    return choices.is_null() ? refusal(404, "no run has this id") : json_response(choices);
  }
  if (request.path == "/api/frame" || request.path == "/api/image") return picture(request);
  if (request.path == "/api/cancel")
    return desk_->cancel(request.at("job")) ? json_response(json::object())
                                            : refusal(404, "no request has this id");
  try {
    const auto id = desk_->add(parse_sample_ask(request.body, desk_->limits()));
    if (!id) return refusal(429, "too many requests wait; try again later");
    return json_response({{"job", desk_->job(*id)}});
  } catch (const std::invalid_argument& error) {
    return refusal(400, error.what());
  }
}

HttpResponse WatchSite::picture(const HttpRequest& request) const {
  double number = 0;
  if (!read_number(request, "number", 0, number) || number < 0 || number > 1e6)
    return refusal(400, "number counts from 0");
  const auto index = static_cast<size_t>(number);
  auto png = request.path == "/api/frame" ? desk_->frame(request.at("job"), index)
                                          : desk_->image(request.at("job"), index);
  if (!png) return refusal(404, "there is no such image");
  HttpResponse response;
  response.type = "image/png";
  response.body = std::move(*png);
  return response;
}

HttpResponse WatchSite::grid(const HttpRequest& request, const RunFollower& run) const {
  const auto name = request.at("name");
  auto content = run.grid(name);
  if (!content) return refusal(404, "no grid has this name");
  HttpResponse response;
  response.type = base::ends_with(name, ".png") ? "image/png" : "text/plain; charset=utf-8";
  response.body = std::move(*content);
  return response;
}

HttpResponse WatchSite::events(const HttpRequest& request) const {
  double seen = 0;
  const auto& last = request.last_event_id;
  if (!last.empty()) {
    const auto [stop, error] = std::from_chars(last.data(), last.data() + last.size(), seen);
    if (error != std::errc() || stop != last.data() + last.size()) seen = -1;
  } else if (!read_number(request, "seen", static_cast<double>(runs_.events().newest()), seen)) {
    seen = -1;
  }
  if (!(seen >= 0 && seen < 9e15)) return refusal(400, "seen is the number of an event");
  if (request.method == "HEAD") return {};
  // Counted as long as the response lives.
  if (followers_.fetch_add(1) >= rules_.followers) {
    --followers_;
    return refusal(503, "too many pages follow this server");
  }
  const std::shared_ptr<void> counted(nullptr, [this](void*) { --followers_; });
  HttpResponse response;
  response.type = "text/event-stream";
  using Clock = std::chrono::steady_clock;
  response.next = [this, counted, number = static_cast<int64_t>(seen), sent = Clock::time_point()](
                      std::string& part) mutable {
    part = runs_.events().wait(number, std::chrono::milliseconds(1000));
    // At once, and then where nothing happens: proxies and browsers must see that it lives.
    if (part.empty() && Clock::now() - sent > std::chrono::seconds(15)) part = ": alive\n\n";
    if (!part.empty()) sent = Clock::now();
    return true;
  };
  return response;
}

}  // namespace uvic::app
