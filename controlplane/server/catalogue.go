package server

import (
	"context"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type catalogueService struct {
	controlv1.UnimplementedCatalogueServiceServer
	*core
}

// GetFeature implements controlv1.CatalogueServiceServer.
func (s catalogueService) GetFeature(ctx context.Context, req *controlv1.GetFeatureRequest) (*controlv1.Feature, error) {
	f, err := s.store.Feature(policy.RegionID(req.GetRegion()), req.GetFeature())
	if isReason(err, policy.NotFound) || !callOf(ctx).seesRegion(policy.RegionID(req.GetRegion())) {
		return nil, notFound("feature")
	}
	if err != nil {
		return nil, err
	}
	return featureOf(f), tagged(ctx, f.ETag)
}

// PutFeature implements controlv1.CatalogueServiceServer.
func (s catalogueService) PutFeature(ctx context.Context, req *controlv1.PutFeatureRequest) (*controlv1.Feature, error) {
	var added bool
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		region, spec := policy.RegionID(req.GetRegion()), req.GetSpec()
		if _, err := s.store.Region(region); err != nil {
			return nil, notFound("region")
		}
		_, err := s.store.Feature(region, req.GetFeature())
		if added = isReason(err, policy.NotFound); err != nil && !added {
			return nil, err
		}
		p := store.PutFeature{Feature: store.Feature{Region: region, Name: req.GetFeature(), Stage: spec.GetStage(), Certifications: spec.GetCertifications()}}
		for _, l := range spec.GetLimits() {
			p.Feature.Limits = append(p.Feature.Limits, store.FeatureLimit{Code: l.GetCode(), Value: l.GetAmount()})
		}
		p.IfMatch, err = optionalIfMatch(ctx)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	var f store.Feature
	if err := res.Decode(&f); err != nil {
		return nil, err
	}
	return featureOf(f), createdIf(ctx, added, f.ETag)
}

// GetEntity implements controlv1.CatalogueServiceServer.
func (s catalogueService) GetEntity(ctx context.Context, req *controlv1.GetEntityRequest) (*controlv1.Entity, error) {
	e, err := s.store.EntityFor(req.GetCountry())
	if isReason(err, policy.NotFound) {
		return nil, notFound("entity")
	}
	if err != nil {
		return nil, err
	}
	return entityOf(e), tagged(ctx, e.ETag)
}

// PutEntity implements controlv1.CatalogueServiceServer.
func (s catalogueService) PutEntity(ctx context.Context, req *controlv1.PutEntityRequest) (*controlv1.Entity, error) {
	var added bool
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		_, err := s.store.EntityFor(req.GetCountry())
		if added = isReason(err, policy.NotFound); err != nil && !added {
			return nil, err
		}
		tag, err := optionalIfMatch(ctx)
		return store.PutEntity{IfMatch: tag, Entity: store.Entity{Country: req.GetCountry(), Code: req.GetSpec().GetCode(),
			SuggestedRegion: policy.RegionID(req.GetSpec().GetSuggestedRegion())}}, err
	})
	if err != nil {
		return nil, err
	}
	var e store.Entity
	if err := res.Decode(&e); err != nil {
		return nil, err
	}
	return entityOf(e), createdIf(ctx, added, e.ETag)
}

// createdIf sets what a put answers: 201 when it added something, and the etag.
func createdIf(ctx context.Context, added bool, etag string) error {
	if added {
		if err := created(ctx); err != nil {
			return err
		}
	}
	return tagged(ctx, etag)
}

func featureOf(f store.Feature) *controlv1.Feature {
	out := &controlv1.Feature{Name: f.Name, Stage: f.Stage, Certifications: f.Certifications, Etag: f.ETag}
	for _, l := range f.Limits {
		out.Limits = append(out.Limits, &controlv1.FeatureLimit{Code: l.Code, Amount: l.Value})
	}
	return out
}

func entityOf(e store.Entity) *controlv1.Entity {
	return &controlv1.Entity{BillingCountry: e.Country, Code: e.Code, SuggestedRegion: string(e.SuggestedRegion), Etag: e.ETag}
}
