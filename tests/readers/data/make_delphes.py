"""Writes the Delphes-like files of this folder with ROOT (pip install root): jets and what they refer to.

Classes, branches and identifiers are laid out as Delphes does it. The momentum of a jet is the sum of what
it refers to. Particles lie up to 1.5 from their jet, so that the nearest jet is often another one; each
event has a muon that only ``Track`` holds, and tracks of ``EFlowTrack`` stand in ``Track``, too.

    python make_delphes.py delphes_references.root 12
    python make_delphes.py delphes_slimmed.root 6 slimmed    # without EFlowNeutralHadron
"""

import sys

import ROOT

ROOT.gInterpreter.Declare(r"""
#include "TClonesArray.h"
#include "TFile.h"
#include "TLorentzVector.h"
#include "TProcessID.h"
#include "TRandom3.h"
#include "TRefArray.h"
#include "TTree.h"
class Track: public TObject { public: Int_t Charge; Float_t PT, Eta, Phi, Mass; ClassDef(Track, 1) };
class Tower: public TObject { public: Float_t ET, Eta, Phi; ClassDef(Tower, 1) };
class Jet: public TObject { public: Float_t PT, Eta, Phi, Mass; TRefArray Constituents; ClassDef(Jet, 1) };
""")

ROOT.gInterpreter.Declare(r"""
void write(const char* name, int n_events, bool slimmed) {
  TFile file(name, "RECREATE");
  TTree tree("Delphes", "Analysis tree");
  TClonesArray flow("Track"), photons("Tower"), hadrons("Tower"), tracks("Track"), jets("Jet");
  tree.Branch("Track", "TClonesArray", &tracks, 64000, 99);
  tree.Branch("EFlowTrack", "TClonesArray", &flow, 64000, 99);
  tree.Branch("EFlowPhoton", "TClonesArray", &photons, 64000, 99);
  if (!slimmed) tree.Branch("EFlowNeutralHadron", "TClonesArray", &hadrons, 64000, 99);
  tree.Branch("FatJet", "TClonesArray", &jets, 64000, 99);
  TRandom3 random(7);
  for (int event = 0; event < n_events; event++) {
    const UInt_t count = TProcessID::GetObjectCount();
    flow.Clear(); photons.Clear(); hadrons.Clear(); tracks.Clear(); jets.Delete();
    const int n_jets = event == 0 ? 0 : 1 + random.Integer(3);
    for (int i = 0; i < n_jets; i++) {
      auto* jet = new (jets[i]) Jet();
      const double eta = random.Uniform(-2, 2), phi = random.Uniform(-3.1, 3.1);
      TLorentzVector sum;
      const int n = 5 + random.Integer(8);
      for (int k = 0; k < n; k++) {
        TLorentzVector p;
        const double pt = 1 + random.Exp(30), e = eta + random.Uniform(-1, 1);
        const double f = TVector2::Phi_mpi_pi(phi + random.Uniform(-1, 1));
        const int kind = k == 0 && i == 0 ? 3 : k % 3;  // the first is a muon
        TObject* object;
        if (kind == 0 || kind == 3) {
          auto& store = kind == 3 ? tracks : flow;
          auto* track = new (store[store.GetEntriesFast()]) Track();
          p.SetPtEtaPhiM(pt, e, f, kind == 3 ? 0.10566 : 0.13957);
          track->PT = pt; track->Eta = e; track->Phi = f; track->Mass = p.M(); track->Charge = k % 2 ? 1 : -1;
          object = track;
        } else {
          auto& store = kind == 1 ? photons : hadrons;
          auto* tower = new (store[store.GetEntriesFast()]) Tower();
          p.SetPtEtaPhiM(pt, e, f, 0);
          tower->ET = pt; tower->Eta = e; tower->Phi = f;
          object = tower;
        }
        jet->Constituents.Add(object);
        sum += p;
        if (kind == 0) {
          auto* copy = new (tracks[tracks.GetEntriesFast()]) Track(*static_cast<Track*>(object));
          copy->SetBit(TObject::kIsReferenced);
          copy->SetUniqueID(object->GetUniqueID());
        }
      }
      jet->PT = sum.Pt(); jet->Eta = sum.Eta(); jet->Phi = sum.Phi(); jet->Mass = sum.M();
    }
    auto* alone = new (photons[photons.GetEntriesFast()]) Tower();  // of no jet
    alone->ET = 500; alone->Eta = 0; alone->Phi = 0;
    tree.Fill();
    TProcessID::SetObjectCount(count);  // identifiers begin anew in every event, as in Delphes
  }
  tree.Write();
}
""")

if __name__ == "__main__":
    ROOT.write(sys.argv[1], int(sys.argv[2]), "slimmed" in sys.argv[3:])
