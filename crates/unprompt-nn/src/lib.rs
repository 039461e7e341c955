//! Neural-network layers shared by every model: linear, normalisation, attention, convolution.
