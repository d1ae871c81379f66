#include "app/report/page.h"

#include "app/options/assets.h"
#include "app/report/template.h"
#include "base/base64.h"
#include "data/formats/atomic_file.h"

namespace uvic::app {

std::string render_page(const std::string& name, nlohmann::json view) {
  const auto content = [](const std::string& file) {
    return formats::read_file(asset("assets/" + file));
  };
  view["page_style"] = content("page.css");
  view["page_script"] = content("page.js");
  return render_template(content(name), view);
}

std::string data_uri(const formats::Image& image) {
  return "data:image/png;base64," + base::base64(formats::encode_png(image));
}

}  // namespace uvic::app
