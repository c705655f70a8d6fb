/* The scan of spatial propagation networks (SPN eq. 9 and 10) for float and double; scan_lines.h has the code. */

#include "clones.h"
#include "flush.h"
#include <stdlib.h>
#include <string.h>

/* What becomes of a scan: it is stored, or folded into what is there. */
enum { STORE, MAXIMUM, SUM };

#define real float
#define NAME(f) f##_f32
#include "scan_lines.h"
#undef real
#undef NAME

#define real double
#define NAME(f) f##_f64
#include "scan_lines.h"
