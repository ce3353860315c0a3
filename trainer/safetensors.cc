#include "trainer/safetensors.h"
