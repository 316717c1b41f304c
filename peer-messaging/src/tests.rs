//! Whole messengers, over real sockets and real files.

mod crash;
mod damage;
mod delivery;
mod held;
mod impostor;
mod noise;
mod proxy;
mod secrets;
mod world;
