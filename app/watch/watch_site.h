// What the server of `uvic watch` answers: the page, and the data behind it.
//
//   /                               the page
//   /api/runs                       every run with its state
//   /api/curve?run=&points=         its curve; &from= &to= in images: a part of it
//   /api/scores?run=  /api/log?run=  /api/config?run=
//   /grid?run=&name=                a grid, by a name that /api/runs lists
//   /api/events                     what is new, as server-sent events
//
// and where samples are made on request:
//
//   /api/choices?run=               checkpoints, classes, samplers
//   POST /api/sample                adds a request (parse_sample_ask) and answers {"job": ...}
//   POST /api/cancel?job=
//   /api/jobs                       all requests
//   /api/frame?job=&number=  /api/image?job=&number=   a step; a sample
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "app/watch/http_server.h"
#include "app/watch/run_set.h"
#include "app/watch/sample_desk.h"

namespace uvic::app {

struct SiteRules {
  std::string token;               ///< "": none is needed
  std::vector<std::string> names;  ///< of the server, besides numeric addresses and localhost
  int64_t followers = 240;         ///< at once; further ones get 503
};

class WatchSite {
 public:
  /// Renders the page; throws what render_page() throws.
  WatchSite(const RunSet& runs, SiteRules rules, SampleDesk* desk = nullptr);

  /// 421 for another host's name, 403 for another origin, a missing or a wrong token, 404 and 405
  /// for what does not exist, 400 for a query that makes no sense. Every answer has the headers
  /// that keep a browser from guessing, framing, caching and passing on the address.
  HttpResponse answer(const HttpRequest& request) const;

 private:
  HttpResponse route(const HttpRequest& request) const;
  HttpResponse page() const;
  HttpResponse of_run(const HttpRequest& request) const;
  HttpResponse grid(const HttpRequest& request, const RunFollower& run) const;
  HttpResponse events(const HttpRequest& request) const;
  HttpResponse of_desk(const HttpRequest& request) const;
  HttpResponse picture(const HttpRequest& request) const;

  const RunSet& runs_;
  const SiteRules rules_;
  SampleDesk* const desk_;  ///< null: no samples on request
  std::string page_;        ///< with kNonce where the nonce of its scripts belongs
  mutable std::atomic<int64_t> followers_{0};
};

}  // namespace uvic::app
