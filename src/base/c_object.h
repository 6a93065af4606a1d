// Owning pointers to what C libraries make: std::unique_ptr<T, FreeBy<their_function>>.
#pragma once

namespace godwit {

template <auto free_function>
struct FreeBy {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};

}  // namespace godwit
